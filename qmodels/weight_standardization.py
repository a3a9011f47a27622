"""Standardized weights of timm's convolutions as constants: what a trained model's StdConv2d computes before each product.

Each output channel's weights are shifted to mean 0 and scaled to variance 1 (arXiv 1903.10520), and by a learned gain in
the scaled kind (arXiv 2101.08692). They depend on nothing but the parameters, so that inference needs them once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.layers import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from timm.layers.conv2d_same import Conv2dSame

KINDS = (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame)
"""timm's convolutions that standardize their weights."""

CONVOLUTIONS = (nn.Conv2d, Conv2dSame, *KINDS)
"""All convolutions that have a quantized form."""


@torch.no_grad()
def bake(conv: nn.Conv2d) -> bool:
    """Make the weights of `conv` the standardized ones, computed in float64; whether its padding is `same`."""
    if type(conv) in KINDS:
        conv.weight = nn.Parameter(_standardized(conv).to(conv.weight.dtype))
    return type(conv) is Conv2dSame or bool(getattr(conv, "same_pad", False))


def _standardized(conv: nn.Conv2d) -> Tensor:
    weight = conv.weight.double()
    gain = (conv.gain.double() * conv.scale).reshape(-1) if hasattr(conv, "gain") else None
    rows = weight.reshape(1, conv.out_channels, -1)
    return F.batch_norm(rows, None, None, gain, training=True, momentum=0.0, eps=conv.eps).reshape_as(weight)
