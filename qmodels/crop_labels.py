"""What a teacher says of crops of the training images, made once and kept in a folder.

The folder holds one safetensors file per PART images, `part-00000.safetensors` and so on, in the order of the data set:

    boxes    (n, S, 4) float32   top, left, height, width of S crops of each of the n images, in shares of height and width
    mirrored (n, S) uint8        1 where the crop is mirrored
    classes  (n, S, k) int32     the teacher's k most likely classes of the crop, the likeliest first
    shares   (n, S, k) float32   their probabilities

and as text what all parts share (format, images, classes, S, k, seed, how crops are drawn, teacher, data) and `first`, the
index of its first image. What the k probabilities leave of 1 is spread evenly over the other classes: marginal smoothing
(arXiv 2112.01528). The crops of an image follow from seed and index alone. `make` writes parts whole or not at all, so
that a run that was stopped goes on; several processes that see the folder make every so-manieth part each, and look for the
others' files, so that none waits in a collective. Reading opens only the rows of the images that are asked for.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from hwsim.errors import BadFile, HwsimError
from hwsim.tensors import KEY, write_tensors
from qmodels.cropping import Drawing, Images, cut

FORMAT = "hwsim-crop-labels/1"
REMEDY = "remove the folder and make the labels again"
PART = 1024
POLL = 1.0
"""Seconds between looks for the parts that other processes make."""
_FLOOR = 1e-12
"""The least share that a class has, so that every label has a logarithm."""


@torch.no_grad()
def make(
    folder: Path,
    images: Images,
    count: int,
    teacher: nn.Module,
    size: tuple[int, int],
    drawing: Drawing,
    facts: Mapping[str, str],
    *,
    batch: int = 256,
    rank: int = 0,
    ranks: int = 1,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> "CropLabels":
    """Write the answers of `teacher`, in eval mode, to the crops of `count` images into `folder`, and open it when whole.

    size: (H, W) of what the teacher takes. facts: what names teacher and data. Parts that are there stay; BadFile where they
    are damaged or of other settings. This is process `rank` of `ranks`. `progress` is told how many images are done, by all.
    """
    wanted = {
        **{key: json.dumps(value) for key, value in asdict(drawing).items()},
        "size": json.dumps(list(size)),
        "images": str(count),
        **facts,
    }
    starts = {folder / f"part-{first // PART:05}.safetensors": first for first in range(0, count, PART)}
    _need_same([path for path in starts if path.exists()], wanted)
    teacher.eval()
    device = next((p.device for p in teacher.parameters()), None)
    for path in list(starts)[rank::ranks]:
        if path.exists():
            continue
        indices = range(starts[path], min(starts[path] + PART, count))
        done = sum(min(PART, count - first) for other, first in starts.items() if other.exists())

        def tell(images: int, done: int = done) -> None:
            progress(done + images, count)

        said = _said(indices, images, teacher, size, drawing, batch, device, tell)
        text = {**wanted, "first": str(indices[0]), "classes": str(said.pop("all").item())}
        write_tensors({name: tensor.numpy() for name, tensor in said.items()}, text, FORMAT, path)
    missing = list(starts)
    while missing := [path for path in missing if not path.exists()]:
        progress(count - sum(min(PART, count - starts[path]) for path in missing), count)
        time.sleep(POLL)
    _need_same(starts, wanted)
    progress(count, count)
    return CropLabels(folder)


def _said(
    indices: range,
    images: Images,
    teacher: nn.Module,
    size: tuple[int, int],
    drawing: Drawing,
    batch: int,
    device: torch.device | None,
    tell: Callable[[int], None],
) -> dict[str, Tensor]:
    """The tensors of a part; `all` is the number of classes. `tell` hears how many images have been cut up."""
    boxes, mirrored, pictures, classes, shares = [], [], [], [], []
    for index in indices:
        image = images(index)
        found = drawing.crops(index, *image.shape[1:])
        boxes.append(found[0])
        mirrored.append(found[1])
        pictures += [cut(image, box, bool(mirror), size) for box, mirror in zip(*found, strict=True)]
        while len(pictures) >= batch or (pictures and index == indices[-1]):
            logits = teacher(torch.stack(pictures[:batch]).to(device))
            pictures = pictures[batch:]
            best = logits.softmax(1).topk(min(drawing.top, logits.shape[1]), dim=1)
            classes.append(best.indices.to(torch.int32).cpu())
            shares.append(best.values.float().cpu())
            tell(index - indices[0] + 1)
    shape = len(indices), drawing.stored, -1
    return {
        "boxes": torch.stack(boxes),
        "mirrored": torch.stack(mirrored),
        "classes": torch.cat(classes).reshape(shape),
        "shares": torch.cat(shares).reshape(shape),
        "all": torch.tensor(logits.shape[1]),
    }


def _text(path: Path) -> dict[str, str]:
    """What a part says of itself; of its tensors only that the file is as long as they are."""
    with _bad(path), safetensors.safe_open(str(path), framework="pt") as part:
        found = json.loads((part.metadata() or {})[KEY])
        if found["format"] != FORMAT:
            raise ValueError(f"the format {found['format']}")
        return dict(found)


def _need_same(paths: Iterable[Path], wanted: Mapping[str, str]) -> None:
    """Raise BadFile where a part was made otherwise."""
    for path in paths:
        found = _text(path)
        for key, value in wanted.items():
            if found.get(key) != value:
                raise BadFile(
                    f"{path}: {key} must be {value}, as asked for, got {found.get(key)}; choose another folder, or remove "
                    "this"
                )


@dataclass(slots=True)
class CropLabels:
    """The labels in `folder`: `images` images, `stored` crops of each, over `classes` classes. Raises BadFile."""

    folder: Path
    images: int = 0
    stored: int = 0
    classes: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    _parts: dict[Path, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = self._path(0)
        self.facts = _text(path)
        with _bad(path):
            self.images, self.classes = int(self.facts["images"]), int(self.facts["classes"])
            self.stored = self._part(path).get_slice("boxes").get_shape()[1]
        last = self._path(self.images - 1)
        if not last.exists():
            raise BadFile(
                f"{last}: must be there, for {self.images} images, got no such file; make the labels to the end"
            )

    def check(self, size: tuple[int, int], classes: int, data: Callable[[int], str]) -> None:
        """Raise BadFile where the answers are not about `classes` classes, crops of `size`, and these images: `data(n)` is
        what a maker says as the fact `data` of the first n of them."""
        wanted = {"classes": str(classes), "size": json.dumps(list(size))}
        if "data" in self.facts:
            wanted["data"] = data(self.images)
        for key, value in wanted.items():
            if self.facts.get(key) != value:
                raise BadFile(
                    f"{self.folder}: must hold answers to these images, {key} {value}, got {self.facts.get(key)}; choose "
                    "another folder, or leave out crop_labels to have them made"
                )

    def of(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of the image `index`: boxes (S, 4), whether they are mirrored (S,), and logits (S, classes)."""
        if not 0 <= index < self.images:
            raise HwsimError(
                f"{self.folder}: holds the crops of {self.images} images, got the index {index}; make labels of these images"
            )
        path, row = self._path(index), index % PART
        with _bad(path):
            part = self._part(path)
            boxes, mirrored, classes, shares = (
                part.get_slice(name)[row] for name in ("boxes", "mirrored", "classes", "shares")
            )
            inside = bool((boxes >= 0).all()) and bool((boxes[:, :2] + boxes[:, 2:] <= 1.001).all())
            known = bool((classes >= 0).all()) and bool((classes < self.classes).all())
            whole = bool((shares >= 0).all()) and bool((shares.sum(1) <= 1.001).all())
            if not (inside and known and whole):
                raise ValueError(f"values beyond their range of the image {index}")
            return boxes, mirrored, self._logits(classes.long(), shares)

    def _logits(self, classes: Tensor, shares: Tensor) -> Tensor:
        """Logarithms of the labels: what the kept `shares` leave of 1 goes to the other classes, evenly."""
        others = max(1, self.classes - classes.shape[1])
        rest = ((1 - shares.sum(1, keepdim=True)) / others).expand(-1, self.classes)
        return rest.scatter(1, classes, shares).clamp(min=_FLOOR).log()

    def _path(self, index: int) -> Path:
        return self.folder / f"part-{index // PART:05}.safetensors"

    def _part(self, path: Path) -> Any:
        if path not in self._parts:
            self._parts[path] = safetensors.safe_open(str(path), framework="pt")
        return self._parts[path]


class _bad:  # noqa: N801 - a context manager
    """Within, what goes wrong with a file is told as a BadFile of `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise BadFile(f"{self.path}: must hold crop labels, got no such file; make them first") from None
        if isinstance(error, safetensors.SafetensorError | OSError | ValueError | LookupError | TypeError):
            raise BadFile(f"{self.path}: must hold crop labels, got {error}; {REMEDY}") from None
