"""The models before the first step: the student with the teacher's weights and calibrated scales, and the teacher.

Scales are searched on the first training images *before* the model is copied to several processes: a scale that each
process takes from its own first batch would differ between them from then on.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import workloads
from hwsim.errors import HwsimError
from hwsim.tensors import digest
from qmodels import builder, crop_labels, data, models
from qmodels.calibrate import calibrate
from qmodels.cropping import DIGITS, Drawing, whole_images
from qmodels.crops import Crops
from qmodels.training.feed import chosen
from qmodels.training.parallel import Group
from qmodels.training.settings import Settings


def pair(
    settings: Settings, teacher: Path | None, root: Path | None, device: torch.device
) -> tuple[nn.Module, nn.Module | None]:
    """The model to train and its float teacher (None without), in eval mode on `device`.

    `teacher` is the file of the teacher's checkpoint, the shipped one by default. Raises HwsimError where there is none or
    it is of another model.
    """
    workload, recipe = settings.workload, settings.recipe
    student = _student(settings)
    master = None
    if recipe.teacher:
        master = _teacher(settings, teacher).requires_grad_(False).to(device)
        student.load_state_dict(master.state_dict(), strict=False)  # what quantization added is not in there
        _recalibrate_weights(student)
    elif teacher is not None:
        raise HwsimError(f"{workload.name}: must have no teacher, got {teacher}; leave out --teacher")
    student = student.to(device)
    if not workload.bits.is_float:
        calibrate(student, _calibration_images(settings, root).to(device))
    if settings.method.hard_distillation and hasattr(student, "set_distilled_training"):
        student.set_distilled_training(True)  # while it trains, it gives the logits of both heads
    return student, master


def _calibration_images(settings: Settings, root: Path | None) -> torch.Tensor:
    """Of the training images that are used, as many as the recipe wants, not augmented."""
    dataset = data.batches(settings.workload, "train", root).dataset
    used = chosen(dataset, settings.recipe.images, settings.recipe.calibration)
    return torch.stack([dataset[int(i)][0] for i in used])


def stored_crops(settings: Settings, master: nn.Module | None, root: Path | None, beside: Path, group: Group) -> Crops:
    """The crops that the method learns from, with a teacher's answers; the teacher is asked for what is not stored yet.

    They lie in the folder `crop_labels` of the recipe, else in one beside the checkpoint.
    """
    workload, recipe = settings.workload, settings.recipe
    batches = data.batches(workload, "train", root)
    count = int(chosen(batches.dataset, recipe.images).max()) + 1
    images, (_, *size) = whole_images(batches.dataset), models.image_of(workload.model)
    folder = Path(recipe.crop_labels) if recipe.crop_labels else beside / f"crops-{recipe.teacher}-{count}"
    if master is not None and not recipe.crop_labels and group.writes:
        drawing = DIGITS if workload.dataset.kind == "digits" else Drawing()
        facts = {"teacher": recipe.teacher, "weights": _digest(master), "data": batches.part(0, count).fingerprint()}
        crop_labels.make(folder, images, count, master, tuple(size), drawing, facts)
    group.wait()
    return Crops(images, crop_labels.CropLabels(folder), settings.method.crops, tuple(size))


def _digest(model: nn.Module) -> str:
    return digest({name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}, {})


def filled(settings: Settings, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """A student on the CPU with `tensors` as its weights and scales."""
    model = _student(settings)
    model.load_state_dict(dict(tensors))
    return model


def _student(settings: Settings) -> nn.Module:
    overrides = {"drop_path_rate": settings.recipe.drop_path} if settings.recipe.drop_path else {}
    try:
        model = models.create(settings.workload.model.name, **overrides)
    except TypeError:
        raise HwsimError(
            f"{settings.workload.name}: drop_path must be 0, as {settings.workload.model.name} has none, "
            f"got {settings.recipe.drop_path}; leave it out"
        ) from None
    return models.quantize(model, settings.workload.bits, settings.method)


def _teacher(settings: Settings, file: Path | None) -> nn.Module:
    workload, name = settings.workload, settings.recipe.teacher
    own = workloads.find(name)
    if not own.bits.is_float:
        raise HwsimError(f"{workload.name}: teacher must be a float workload, got {name}; pass --set teacher=NAME")
    if own.model != workload.model:
        raise HwsimError(
            f"{workload.name}: teacher must be of the model {workload.model.name}, got {name}, of other layers or width; "
            "pass --set teacher=NAME"
        )
    if file is None and builder.shipped(own) is None:
        raise HwsimError(
            f"{workload.name}: must start from the float weights of {name}, got no file; pass --teacher FILE (made by "
            f"`hwsim train --workload {name}`), or --set teacher=none to start from random weights"
        )
    return builder.build(own, file)


def _recalibrate_weights(model: nn.Module) -> None:
    """Set the weight scales again: at insertion they were set from random weights."""
    for module in model.modules():
        if hasattr(module, "weight_quantizer") and not isinstance(module.weight_quantizer, nn.Identity):
            module.weight_quantizer.initialise(module.weight)
