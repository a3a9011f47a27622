"""The stored crops that a training learns from (`qmodels.crops`): made by all processes together, or given, then checked."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from hwsim.errors import BadFile
from qmodels import data, identity, models
from qmodels.crop_labels import CropLabels, make
from qmodels.cropping import DIGITS, Drawing, whole_images
from qmodels.crops import Crops
from qmodels.training import watch
from qmodels.training.feed import chosen
from qmodels.training.metrics import Progress, silent
from qmodels.training.parallel import Group
from qmodels.training.settings import Settings

MOST = 256
"""Crops that a teacher is asked about at once, at most."""


def stored_crops(
    settings: Settings,
    master: nn.Module | None,
    root: Path | None,
    beside: Path,
    group: Group,
    progress: Callable[[Progress], None] = silent,
) -> Crops:
    """The crops that the method learns from, with a teacher's answers; the teacher is asked for what is not stored yet.

    They lie in the folder `crop_labels` of the recipe, else in one in the folder `beside`. Raises BadFile where those in a
    folder are of other images or classes, or of other weights of this teacher; another teacher's are welcome.
    """
    workload, recipe = settings.workload, settings.recipe
    batches = data.batches(workload, "train", root)
    count = int(chosen(batches.dataset, recipe.images).max()) + 1
    images, (_, *size) = whole_images(batches.dataset), models.image_of(workload.model)
    own = {} if master is None else {"teacher": recipe.teacher, "weights": identity.digest(master)}

    def tell(done: int, total: int) -> None:
        progress(Progress(done, total, before="crop labels"))

    if recipe.crop_labels or master is None:
        labels = CropLabels(Path(recipe.crop_labels or beside))
        there = len(batches.dataset)
        labels.check(tuple(size), workload.model.classes, lambda n: batches.part(0, min(n, there)).fingerprint())
        _need(labels, count, own)
    else:
        folder = beside / f"crops-{recipe.teacher}-{count}"
        facts = {**own, "data": batches.part(0, count).fingerprint()}
        drawing = DIGITS if workload.dataset.kind == "digits" else Drawing()
        more = {"batch": min(MOST, 4 * recipe.batch), "rank": group.rank, "ranks": group.size}
        with watch.enough_memory(workload.name, "crop labels", "batch", recipe, group.device):
            labels = make(folder, images, count, master, tuple(size), drawing, facts, progress=tell, **more)
    return Crops(images, labels, settings.method.crops, tuple(size))


def _need(labels: CropLabels, count: int, own: dict[str, str]) -> None:
    """Raise BadFile where `labels` are of fewer images than `count`, or of this very teacher with other weights."""
    if labels.images < count:
        raise BadFile(
            f"{labels.folder}: must hold the crops of {count} images, got {labels.images}; choose another folder, or pass "
            f"--set images={labels.images}"
        )
    if own and labels.facts.get("teacher") == own["teacher"] and labels.facts.get("weights") != own["weights"]:
        raise BadFile(
            f"{labels.folder}: must hold answers of these weights of {own['teacher']}, got those of others; choose another "
            "folder, or leave out crop_labels to have them made"
        )
