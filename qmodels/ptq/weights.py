"""The float model that a calibration starts from, and the student with its weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import workloads
from hwsim.errors import HwsimError
from qmodels import builder, models
from qmodels.method import Method
from workloads.bits import Bits
from workloads.workload import Workload

PRETRAINED, RANDOM = "pretrained", "random"


def twin(workload: Workload, method: Method, teacher: Path | str | None) -> nn.Module:
    """The float model with the module paths that `method` gives it, in eval mode, without gradients.

    teacher: the file of a float checkpoint, `pretrained`: timm's weights, `random`: seed 0; None: the shipped one. Raises
    HwsimError for weights that are not finite.
    """
    name = workload.model.name
    model = models.create(name, pretrained=teacher == PRETRAINED)
    if teacher == RANDOM:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            model = models.create(name)
    model = models.quantize(model, Bits(32, 32), method)
    if teacher not in (PRETRAINED, RANDOM):
        model.load_state_dict(_from_file(workload, teacher).state_dict(), strict=False)
    _need_finite(workload, model)
    return model.eval().requires_grad_(False)


def _need_finite(workload: Workload, model: nn.Module) -> None:
    """Raise HwsimError for a tensor of the float `model` that holds NaN or an infinity."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not (finite := torch.isfinite(tensor)).all():
            bad = tensor.numel() - int(finite.sum())
            raise HwsimError(
                f"{workload.name}: float weights must be finite, got {bad} of {tensor.numel()} values of {name} that are "
                "not; mend the file, or pass another --teacher"
            )


def _from_file(workload: Workload, teacher: Path | str | None) -> nn.Module:
    name = workload.recipe.teacher or workload.name  # which is the float model itself, where it has no teacher
    own = workloads.find(name)
    if teacher is None and builder.shipped(own) is None:
        raise HwsimError(
            f"{workload.name}: must start from the float weights of {name}, got no file; pass --teacher FILE (made by "
            f"`hwsim train --workload {name}`), --teacher pretrained (timm's), or --teacher random"
        )
    return builder.build(own, None if teacher is None else Path(teacher))


def student(
    workload: Workload, method: Method, master: nn.Module | None, layer_bits: Mapping[str, tuple[int, int]]
) -> nn.Module:
    """The model of `workload` with the weights of `master` and quantizers that are not calibrated, in eval mode.

    layer_bits: (a_bits, w_bits) of products that have other widths than the workload, by name or pattern.
    """
    model = models.create(workload.model.name)
    model = models.quantize(model, workload.bits, method, initialise=False, layer_bits=layer_bits)
    if master is not None:
        model.load_state_dict(master.state_dict(), strict=False)
    return model.eval().requires_grad_(False)
