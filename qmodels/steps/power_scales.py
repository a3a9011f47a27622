"""Power scales: scales are powers of two, each the one of least error at its product's output (P2-ViT, arXiv 2405.19915).

With s the scale of the whole range of an operand, 2^(floor(log2 s) + k) is tried for k = low..high, -1..2 as in the released
code (the paper: 0..1, floor and ceil). The error is that of the product with the other operand as it is: of a weight per
output channel, of an activation per tensor. So a scale that clips is found where clipping is better, and requantization is a
shift everywhere. Quantizers with a table of their own set it by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from qmodels.clipping import need_finite
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.ptq.unit import Unit
from qmodels.quantizer import Quantizer
from qmodels.quantizers.uniform import Uniform
from qmodels.search import spanning, zero_of
from qmodels.searches.power_of_two import LEAST, MODES, PowerOfTwo
from qmodels.step import Step

FAR = 16
"""How far from floor the exponents may be: twice as far as the widest codes reach."""


@dataclass(frozen=True, slots=True)
class PowerScales(Step):
    """low, high: the exponents that are tried, from that of floor on. rounding: `search`, or, without a look at the output,
    `nearest`, `ceil` or `floor`."""

    low: int = -1
    high: int = 2
    rounding: str = "search"

    name = "power_scales"
    limits = MappingProxyType({"low": (-FAR, FAR), "high": (-FAR, FAR), "rounding": MODES})

    def __post_init__(self) -> None:
        Step.__post_init__(self)
        if self.low > self.high:
            raise HwsimError(f"power_scales: low must be at most high, got {self.low} and {self.high}; swap them")

    @torch.no_grad()
    def run(self, unit: Unit) -> None:
        """Set the grids of the operands of all products that have none yet, site by site."""
        for site in unit.sites:
            a, b = site.values(unit.captured(site.path, "quantized").inputs)
            (_, first), (_, second) = site.operands
            wanted = site.product(a, b)
            channels = 1 if isinstance(site.module, QuantConv2d) else -1

            def whole(output: Tensor, wanted: Tensor = wanted) -> Tensor:
                return (output - wanted).square().sum(dtype=torch.float64)

            def each(output: Tensor, wanted: Tensor = wanted, axis: int = channels) -> Tensor:
                return (output - wanted).square().movedim(axis, 0).flatten(1).sum(1, dtype=torch.float64)

            self._set(first, a, lambda x, b=b, site=site: whole(site.product(x, b)))
            error = each if site.is_layer else whole
            self._set(second, b, lambda x, a=a, site=site, error=error: error(site.product(a, x)))

    def _set(self, quantizer: nn.Module, x: Tensor, error: Callable[[Tensor], Tensor]) -> None:
        """Set the grid of `quantizer` for `x`, where it has none; `error` is one number, or one per output channel."""
        if not isinstance(quantizer, Quantizer) or quantizer.calibrated:
            return
        if not isinstance(quantizer, Uniform) or self.rounding != "search":
            PowerOfTwo(self.rounding)(x, quantizer)
            return
        need_finite(x)
        rows = quantizer.sharing(x)
        low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        floor = spanning(low, high, quantizer)[0].log2().floor()
        grids, errors = [], []
        for k in range(self.low, self.high + 1):
            scale = (floor + k).clamp(min=LEAST).exp2()
            grids.append((scale, zero_of(low.clamp(max=0), scale, quantizer)))
            quantizer.set_grid(*(part.flatten() for part in grids[-1]))
            found = error(quantizer(x))
            errors.append(found.expand(len(rows)) if found.dim() == 0 else found.reshape(len(rows), -1).sum(1))
        least = torch.stack(errors).argmin(0, keepdim=True)[..., None]
        scales, zeros = (torch.stack(parts).gather(0, least)[0].flatten() for parts in zip(*grids, strict=True))
        quantizer.set_grid(scales, zeros)
