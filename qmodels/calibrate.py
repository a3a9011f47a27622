"""Calibration: one forward pass in which every activation quantizer takes its scale from what it sees.

Quantizers are visited in execution order and each sees the output of *quantized* predecessors; IRM modules are fitted
in the same pass, before the quantizers behind them. Weight quantizers are calibrated already, at insertion.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from qmodels.layers.rectifier import Rectifier
from qmodels.quantizer import Quantizer


def _initialise(images: int, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    module.initialise(inputs[0])
    if isinstance(module, Quantizer):
        module.windows = max(1, len(inputs[0]) // images)


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor, *others: Any, **named: Any) -> nn.Module:
    """Set the scales of all uncalibrated quantizers of `model` from `images` (B, C, H, W); returns `model`.

    Of a part of a model the input takes the place of images, and what it is called with besides comes behind.
    """
    waiting = [m for m in model.modules() if isinstance(m, Quantizer | Rectifier) and not m.calibrated]
    hooks = [m.register_forward_pre_hook(partial(_initialise, len(images))) for m in waiting]
    was_training = model.training
    try:
        model.eval()(images, *others, **named)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return model
