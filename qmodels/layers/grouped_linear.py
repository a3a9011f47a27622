"""GroupedLinear: a QuantLinear whose input has one grid per group of channels, and a partial product for each.

    y = sum over g of x_q[..., g] W_q[:, g]^T + b

The input's channels are cut, in their order, into groups whose sizes differ by one at most, each with a quantizer of its own.
A scale per group cannot be taken out of one sum over all channels, so that the layer is as many integer products as it has
groups, each rescaled before they are added (per-embedding-group quantization, Bondarenko et al., arXiv 2109.12948, eq. 6).
Weights have the scales that the whole matrix has.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qmodels.layers.quant_linear import QuantLinear
from qmodels.quantizer import with_offset


def sizes(channels: int, groups: int) -> list[int]:
    """How many channels each group has; the first ones have one more where it does not come out even."""
    few, more = divmod(channels, groups)
    return [few + (group < more) for group in range(groups)]


class ChannelGroups(nn.ModuleList):
    """The quantizers of the groups of `channels`, in order; what it gives is what they give, side by side."""

    def __init__(self, quantizers: Iterable[nn.Module], channels: int) -> None:
        super().__init__(quantizers)
        self.sizes = sizes(channels, len(self))
        self.bits = self[0].bits

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """`x` (..., K) as the quantized groups, (..., K_g) each."""
        return tuple(quantizer(part) for quantizer, part in zip(self, x.split(self.sizes, -1), strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) to (..., K)."""
        return torch.cat(self.parts(x), -1)


class GroupedLinear(QuantLinear):
    """A QuantLinear whose `input_quantizer` is a ChannelGroups."""

    input_quantizer: ChannelGroups

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The layer for `x` (..., K), with another bias."""
        parts = self.input_affine(x).split(self.input_quantizer.sizes, -1)
        weights = self.weight.split(self.input_quantizer.sizes, 1)
        total = None
        for quantizer, part, columns in zip(self.input_quantizer, parts, weights, strict=True):
            weight = self.weight_quantizer(columns)
            own = with_offset(bias if total is None else None, quantizer, part, weight)
            product = F.linear(quantizer(part), weight, own)
            total = product if total is None else total + product
        return total
