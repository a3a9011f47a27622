"""SULQ: a uniform quantizer of -log2(x + eta), its exponents integers (I&S-ViT, arXiv 2311.10126, shift-uniform-log2).

The grid is `hwsim.grids.sulq`. As in the source, step and zero point follow from the range of -log2(x + eta), and eta is the
one of least squared error; the zero point is rounded before it is used. The shift by eta makes 0 (nearly) a value of the grid
without a code of its own, and a product costs one column sum besides its shifts.

Departures. Exactly 2^b codes: the released code has one more. Its eta begin at 0.001, so that only some 10 octaves are left
and, with integer exponents, 11 of 16 codes; here eta is 2^-1 to 2^-19, as its figure of exponents down to 19 needs, or as few
as the accumulator holds (`qmodels.shift_quantizer`), in whole units of the smallest power. The range is also tried from 0 on,
for what comes later may be less than the sample's least.
"""

import math

from torch import Tensor

from hwsim.grids.sulq import sulq
from hwsim.spec import ShiftSpec
from qmodels.shift_quantizer import ShiftQuantizer, Tables, room, top

OCTAVES = 19
"""The smallest eta is 2^-OCTAVES."""


class Sulq(ShiftQuantizer):
    """Grid of 2^-e - eta with integer e."""

    kind = "sulq"
    least = 2

    @classmethod
    def first(cls, bits: int) -> ShiftSpec:
        """The grid of 0..1 whose exponents are as far apart as the codes allow, at most one."""
        octaves = min(2**bits - 1, room(bits), OCTAVES)
        return sulq(bits, eta=1, step=octaves / (2**bits - 1))

    def tables(self, rows: Tensor, room: int) -> Tables:
        """One for each eta and start of the range; the scale is the power of two next to the largest value."""
        scale = top(rows).log2().round().exp2()
        scaled = rows / scale[:, None]
        least, most = max(scaled.amin().item(), 0.0), max(scaled.amax().item(), 0.0)
        for octaves in range(1, min(OCTAVES, room) + 1):
            for low in sorted({0.0, least if least < most else 0.0}):
                grid = _grid(self.bits, 2.0**-octaves, low, most or 1.0, room)
                if grid is not None:
                    yield grid, scale[None]


def _grid(bits: int, eta: float, least: float, most: float, room: int) -> ShiftSpec | None:
    """The grid of values least..most; None where its integers have no room or there are not two of them."""
    low, high = -math.log2(most + eta), -math.log2(least + eta)
    step = (high - low) / (2**bits - 1)
    zero_point = round(-low / step)
    first, last = round(-step * zero_point), round(step * (2**bits - 1 - zero_point))
    if not first < last <= first + room:
        return None
    return sulq(bits, eta=round(eta * 2.0**last), step=step, zero_point=zero_point)
