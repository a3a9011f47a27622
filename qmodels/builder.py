"""`build(workload)`: the quantized model of a workload, from its checkpoint where there is one."""

from pathlib import Path

import torch
from torch import nn

import workloads
from qmodels import checkpoint as checkpoints
from qmodels import frozen, models
from qmodels.calibrate import calibrate
from workloads.workload import Workload

SHIPPED = Path(__file__).parent / "checkpoints"


def shipped(workload: Workload) -> Path | None:
    """The file of the checkpoint shipped for `workload`, None where it has none."""
    return SHIPPED / workload.checkpoint if workload.checkpoint else None


def build(workload: Workload | str, checkpoint: Path | None = None) -> nn.Module:
    """The model of `workload` in eval mode, ready to trace: a frozen IRM is folded into the layer before it.

    It comes from `checkpoint`, else from the shipped one; a workload with neither has random weights, and its
    activations are calibrated on one pair of random images (seed 0), which is enough for shapes and costs.
    """
    if isinstance(workload, str):
        workload = workloads.find(workload)
    checkpoint = checkpoint or shipped(workload)
    if checkpoint is not None:
        return _folded(checkpoints.load_as(workload, Path(checkpoint)))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = checkpoints.empty(workload)
        return _folded(calibrate(model, torch.randn(2, *models.image_of(workload.model))).eval())


def _folded(model: nn.Module) -> nn.Module:
    frozen.fold(model)
    return model


def skeleton(workload: Workload) -> nn.Module:
    """The model of `workload` in eval mode on the meta device: shapes without numbers, right for costs alone, and quick."""
    with torch.device("meta"):
        model = models.create(workload.model.name)
    return _folded(models.quantize(model, workload.bits, workload.method, initialise=False).to("meta"))
