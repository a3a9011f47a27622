"""Power of two: the scale is 2^k, so that requantization is a shift (P2-ViT, arXiv 2405.19915).

From the scale of the whole range, k is the exponent rounded by `mode`: `nearest`, `ceil` or `floor`; or `search`, the best in
squared error of floor - 1, floor, floor + 1 and floor + 2, the candidates of the released code (the paper has the middle
two). There the error is that of the layer's output; here it is the quantizer's own, each scale apart. Zero points follow.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from qmodels.clipping import Grids
from qmodels.quantizer import SCALE_FLOOR
from qmodels.quantizers.uniform import Uniform
from qmodels.search import Search, spanning, zero_of

MODES = ("search", "nearest", "ceil", "floor")
LEAST = math.ceil(math.log2(SCALE_FLOOR))
"""The exponent of the least power of two that a quantizer takes for a scale."""


@dataclass(frozen=True, slots=True)
class PowerOfTwo(Search):
    """`mode` is one of MODES."""

    mode: str = "search"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"power_of_two: mode must be one of {', '.join(MODES)}, got {self.mode!r}; choose one")

    def candidates(self, rows: Tensor, quantizer: Uniform) -> Grids:
        """One grid per exponent."""
        low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        exponent = spanning(low, high, quantizer)[0].log2()
        floor = exponent.floor()
        exponents = {
            "search": [floor - 1, floor, floor + 1, floor + 2],
            "nearest": [exponent.round()],
            "ceil": [exponent.ceil()],
            "floor": [floor],
        }[self.mode]
        scales = [k.clamp(min=LEAST).exp2() for k in exponents]
        return [(scale, zero_of(low.clamp(max=0), scale, quantizer)) for scale in scales]
