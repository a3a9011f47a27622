"""Log-sqrt2: powers of the square root of two below a scale (RepQ-ViT, arXiv 2212.08254), twice as fine as `log2`.

The grid is `hwsim.grids.logsqrt2`: an even code is a shift, an odd one a shift of sqrt(2) in fixed point, that is a small
multiplier or a second accumulator; the last code means exactly 0, unless `flag` is unset before it is calibrated (as in
`log2`). The source multiplies by sqrt(2) in float and has the zero besides. Its scale is the largest value; here it is
searched.

Up to 4 bits sqrt(2) is 181 / 2^7. From 5 bits on fewer bits of it leave the accumulator more octaves
(`qmodels.shift_quantizer`), and how many are best is searched too; codes behind the last octave repeat the zero.
"""

from torch import Tensor

from hwsim.grids.logsqrt2 import logsqrt2
from hwsim.spec import ShiftSpec
from qmodels.shift_quantizer import ShiftQuantizer, Tables, octaves, room

MANTISSA = 7
FEWER = (4, 5, 6)
"""Bits of sqrt(2) behind the point that are tried where they make room: 1.4375, 1.40625, 1.421875."""


class LogSqrt2(ShiftQuantizer):
    """Grid of powers of sqrt(2); `flag`: whether the last code means 0."""

    kind = "logsqrt2"
    flag = True

    @classmethod
    def first(cls, bits: int) -> ShiftSpec:
        """Powers from 1 on, the last code 0."""
        return _grid(bits, True, MANTISSA, room(bits))

    def tables(self, rows: Tensor, room: int) -> Tables:
        """Tables by the precision of sqrt(2); scales as for `log2`."""
        for mantissa in (MANTISSA, *(FEWER if self.bits > 4 else ())):
            yield _grid(self.bits, self.flag, mantissa, room), octaves(rows, -24, 4)


def _grid(bits: int, zero: bool, mantissa: int, room: int) -> ShiftSpec:
    """The grid whose integers end at 2^room, but for the least one there is: of an octave."""
    return logsqrt2(bits, zero=zero, mantissa_bits=mantissa, octaves=max(1, room - mantissa))
