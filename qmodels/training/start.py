"""The models before the first step: the student with the teacher's weights and calibrated scales, and the teacher.

Scales are searched on the first training images *before* the model is copied to several processes: a scale that each
process takes from its own first batch would differ between them from then on.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

import workloads
from hwsim.errors import HwsimError
from qmodels import builder, checkpoint, data, models
from qmodels.calibrate import calibrate
from qmodels.training import watch
from qmodels.training.feed import chosen
from qmodels.training.settings import Settings
from workloads.models import plain_of

# isort: split
import timm

PRETRAINED = "pretrained"
"""In place of a file: the weights that timm has."""


def pair(
    settings: Settings,
    teacher: Path | str | None,
    root: Path | None,
    device: torch.device,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[nn.Module, nn.Module | None]:
    """The model to train and its float teacher (None without), in eval mode on `device`.

    `teacher` is the file of the teacher's checkpoint, the shipped one by default, or PRETRAINED; a float model, which has no
    teacher, starts from it, but for a head of other classes, which `say` is told. Raises HwsimError where there is none or
    it is of another model.
    """
    workload, recipe = settings.workload, settings.recipe
    master = None
    if recipe.teacher:
        student = _student(settings)
        master = _teacher(settings, teacher).requires_grad_(False).to(device)
        student.load_state_dict(master.state_dict(), strict=False)  # what quantization added is not in there
        _recalibrate_weights(student)
    elif teacher is None:
        student = _student(settings)
    elif workload.bits.is_float:
        student = _begun(settings, teacher, say)
    else:
        raise HwsimError(f"{workload.name}: must have no teacher, got {teacher}; leave out --teacher")
    student = student.to(device)
    if not workload.bits.is_float:
        with watch.enough_memory(workload.name, "the first scales", "calibration", recipe, device):
            calibrate(student, _calibration_images(settings, root).to(device))
    if settings.method.hard_distillation and hasattr(student, "set_distilled_training"):
        student.set_distilled_training(True)  # while it trains, it gives the logits of both heads
    return student, master


def _begun(settings: Settings, given: Path | str, say: Callable[[str], None]) -> nn.Module:
    """A float model with the weights of a file, or timm's; a head of other classes keeps its random ones."""
    workload = settings.workload
    if given == PRETRAINED:
        own = timm.get_pretrained_cfg(workload.model.timm).num_classes
        if own != workload.model.classes:
            say(f"{workload.name}: starts from timm's weights but for the head, which has {own} classes there")
        return _student(settings, pretrained=True)
    student = _student(settings)
    tensors, metadata = checkpoint.read(Path(given))
    other = workloads.find(metadata["workload"])
    if not other.bits.is_float or plain_of(other.model.name) != plain_of(workload.model.name):
        raise HwsimError(
            f"{workload.name}: must start from a float model of the layers and width of {workload.model.name}, got {given} "
            f"of {other.name}; leave out --teacher, or give another"
        )
    if other.model.classes != workload.model.classes:
        said = student.pretrained_cfg["classifier"]
        heads = tuple(f"{name}." for name in ((said,) if isinstance(said, str) else said))
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}
        tensors |= {name: tensor for name, tensor in student.state_dict().items() if name.startswith(heads)}
        say(f"{workload.name}: starts from {given} but for the head, which has {other.model.classes} classes there")
    return checkpoint.fill(student, tensors, Path(given))


def _calibration_images(settings: Settings, root: Path | None) -> torch.Tensor:
    """Of the training images that are used, as many as the recipe wants, not augmented."""
    dataset = data.batches(settings.workload, "train", root).dataset
    used = chosen(dataset, settings.recipe.images, settings.recipe.calibration)
    return torch.stack([dataset[int(i)][0] for i in used])


def filled(settings: Settings, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """A student on the CPU with `tensors` as its weights and scales."""
    model = _student(settings)
    model.load_state_dict(dict(tensors))
    return model


def _student(settings: Settings, pretrained: bool = False) -> nn.Module:
    workload = settings.workload
    overrides = {"drop_path_rate": settings.recipe.drop_path} if settings.recipe.drop_path else {}
    try:
        model = models.create(workload.model.name, pretrained, **overrides)
    except TypeError:
        raise HwsimError(
            f"{workload.name}: drop_path must be 0, as {workload.model.name} has none, got {settings.recipe.drop_path}; "
            "leave it out"
        ) from None
    return models.quantize(model, workload.bits, settings.method, layer_bits=settings.layer_bits)


def _teacher(settings: Settings, file: Path | str | None) -> nn.Module:
    workload, name = settings.workload, settings.recipe.teacher
    own = workloads.find(name)
    if not own.bits.is_float:
        raise HwsimError(f"{workload.name}: teacher must be a float workload, got {name}; pass --set teacher=NAME")
    if own.model != workload.model:
        raise HwsimError(
            f"{workload.name}: teacher must be of the model {workload.model.name}, got {name}, of other layers or width; "
            "pass --set teacher=NAME"
        )
    if file == PRETRAINED:
        classes = timm.get_pretrained_cfg(own.model.timm).num_classes
        if classes != own.model.classes:
            raise HwsimError(
                f"{workload.name}: a teacher must know the {own.model.classes} classes, got timm's weights for {classes}; "
                f"train --workload {name} --teacher {PRETRAINED} first, and give its file with --teacher"
            )
        return models.quantize(models.create(own.model.name, pretrained=True), own.bits, own.method)
    if file is None and builder.shipped(own) is None:
        raise HwsimError(
            f"{workload.name}: must start from the float weights of {name}, got no file; pass --teacher FILE (made by "
            f"`hwsim train --workload {name}`), --teacher {PRETRAINED} (timm's), or --set teacher=none to start from random "
            "weights"
        )
    return builder.build(own, None if file is None else Path(file))


def _recalibrate_weights(model: nn.Module) -> None:
    """Set the weight scales again: at insertion they were set from random weights."""
    for module in model.modules():
        if hasattr(module, "weight_quantizer") and not isinstance(module.weight_quantizer, nn.Identity):
            module.weight_quantizer.initialise(module.weight)
