"""Smooth: ranges of activations move into the weights behind them, by powers of two (P2-ViT, arXiv 2405.19915).

For a linear layer whose input a LayerNorm alone makes, channel k of that input is divided by f[k] and column k of the weights
multiplied by it, f[k] = 2^round(log2(max|x_k|^alpha / max|w_k|^(1 - alpha))) (SmoothQuant, arXiv 2211.10438, eq. 4, rounded):
gain and offset of the norm take it up. The function stays the same, exactly but for underflow. Layers without a norm before
them (behind attention, behind GELU) are left as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from qmodels.layers.quant_linear import QuantLinear
from qmodels.ptq.site import Site
from qmodels.ptq.unit import Unit
from qmodels.step import Step


@dataclass(frozen=True, slots=True)
class Smooth(Step):
    """alpha: how much of an activation's range moves, 0..1. most: |log2 f| is at most this; 0 switches it off."""

    alpha: float = 0.35
    most: int = 8

    name = "smooth"
    limits = MappingProxyType({"alpha": (0, 1), "most": (0, math.inf)})

    def run(self, unit: Unit) -> None:
        """Change norms and weights of the student's unit."""
        for site in unit.sites if self.most else ():
            source = unit.sources.get(f"{site.path}.input_quantizer")
            if isinstance(site.module, QuantLinear) and source is not None and source.norm:
                self._move(unit, site, source.norm)

    @torch.no_grad()
    def _move(self, unit: Unit, site: Site, path: str) -> None:
        x, weight = site.values(unit.captured(site.path, "quantized").inputs)
        factor = self.factors(x, weight)
        norm = unit.model.get_submodule(path)
        for parameter in (norm.weight, norm.bias):
            parameter.div_(factor)
        weight.mul_(factor)

    def factors(self, x: Tensor, weight: Tensor) -> Tensor:
        """f (K,) for an input `x` (..., K) and weights (N, K); 1 for a channel that is 0 in either."""
        high, wide = x.abs().flatten(0, -2).amax(0), weight.abs().amax(0)
        exponent = (self.alpha * high.log2() - (1 - self.alpha) * wide.log2()).round()
        exponent = torch.where((high > 0) & (wide > 0), exponent, torch.zeros_like(exponent))
        return exponent.clamp(-self.most, self.most).exp2()
