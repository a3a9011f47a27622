"""`build(workload)`: the quantized model of a workload, from its checkpoint where there is one."""

from pathlib import Path

import torch
from torch import nn

import workloads
from qmodels import checkpoint as checkpoints
from qmodels import models
from qmodels.calibrate import calibrate
from workloads.workload import Workload

SHIPPED = Path(__file__).parent / "checkpoints"


def shipped(workload: Workload) -> Path | None:
    """The file of the checkpoint shipped for `workload`, None where it has none."""
    return SHIPPED / workload.checkpoint if workload.checkpoint else None


def build(workload: Workload | str, checkpoint: Path | None = None) -> nn.Module:
    """The model of `workload` in eval mode, ready to trace.

    It comes from `checkpoint`, else from the shipped one; a workload with neither has random weights, and its
    activations are calibrated on one pair of random images (seed 0), which is enough for shapes and costs.
    """
    if isinstance(workload, str):
        workload = workloads.find(workload)
    checkpoint = checkpoint or shipped(workload)
    if checkpoint is not None:
        return checkpoints.load_as(workload, Path(checkpoint))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = checkpoints.empty(workload)
        return calibrate(model, torch.randn(2, *models.image_of(workload.model))).eval()


def skeleton(workload: Workload) -> nn.Module:
    """The model of `workload` in eval mode on the meta device: shapes without numbers, right for costs alone, and quick."""
    with torch.device("meta"):
        model = models.create(workload.model.name)
    return models.quantize(model, workload.bits, workload.method, initialise=False).to("meta")
