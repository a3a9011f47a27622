"""Factors: what LayerNorms read gets one scale times a power of two for each channel (PTF of FQ-ViT, arXiv 2111.13824).

Scale s and zero point are those of the range over all channels; channel c has the scale 2^(alpha[c] - most) s, with the
alpha[c] in 0..most of least squared error on the channel. A shift by alpha[c] brings its codes to one scale (S11b). The zero
point is that of s, as in the released code, where the printed formula says that of 2^-most s: so a fine channel has as many
codes below zero as a coarse one.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from qmodels.clipping import need_finite
from qmodels.layers.quant_layer_norm import QuantLayerNorm
from qmodels.ptq.unit import Kind, Unit
from qmodels.quantizer import Quantizer
from qmodels.quantizers.uniform import Uniform
from qmodels.search import best, spanning, zero_of
from qmodels.step import STREAMS, Step

MOST = 31
"""The largest shift of the integer operator (S11b)."""


@dataclass(frozen=True, slots=True)
class Factors(Step):
    """most: the largest exponent; 0 is a scale per tensor. power_of_two: s is rounded up to one (P2-ViT)."""

    most: int = 3
    power_of_two: bool = False
    stream: Kind = "quantized"

    name = "factors"
    limits = MappingProxyType({"most": (0, MOST), "stream": STREAMS})

    def run(self, unit: Unit) -> None:
        """Set the grids of the inputs of LayerNorms, and leave the others."""

        def visit(path: str, quantizer: Quantizer, x: Tensor) -> None:
            norm = unit.model.get_submodule(path.rpartition(".")[0])
            if isinstance(norm, QuantLayerNorm) and isinstance(quantizer, Uniform):
                self.set_grid(x, quantizer)

        unit.visit(self.stream, visit)

    @torch.no_grad()
    def set_grid(self, x: Tensor, quantizer: Uniform) -> None:
        """Set the grid of `quantizer`, which has a scale per channel, from a sample `x` (..., C)."""
        need_finite(x)
        rows = quantizer.sharing(x)
        low, high = rows.min().reshape(1, 1), rows.max().reshape(1, 1)
        scale, zero = spanning(low, high, quantizer)
        if self.power_of_two:
            scale = scale.log2().ceil().exp2()
            zero = zero_of(low.clamp(max=0), scale, quantizer)
        each = scale.new_ones(len(rows), 1)
        grids = [(scale * 2.0 ** (alpha - self.most) * each, zero * each) for alpha in range(self.most + 1)]
        scales, zeros = best(rows, grids, quantizer)
        quantizer.set_grid(scales.flatten(), zeros.flatten())
