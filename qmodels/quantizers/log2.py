"""Log2: powers of two below a scale, for probabilities: a product with them is a shift (FQ-ViT, arXiv 2111.13824).

The grid is `hwsim.grids.log2`: code c means scale * 2^-c, rounded in the exponent, and the last code exactly 0, unless `flag`
is unset before it is calibrated. Without a zero every small probability becomes the last power, and the many of a row add up:
at 2 bits that is 1/8 of the scale for each token. The published code has the zero besides its 2^b powers, which 2^b codes
cannot hold. Departs also in that the scale is searched: there it is 1.

Each bit doubles the octaves, not the precision: the error of a power of two, up to 41 % of the value, is there at any width.
From 5 bits on the codes behind the last octave that the accumulator holds (`qmodels.shift_quantizer`) repeat the zero.
"""

from torch import Tensor

from hwsim.grids.log2 import log2
from hwsim.spec import ShiftSpec
from qmodels.shift_quantizer import ShiftQuantizer, Tables, octaves, room


class Log2(ShiftQuantizer):
    """Grid of powers of two; `flag`: whether the last code means 0."""

    kind = "log2"
    flag = True

    @classmethod
    def first(cls, bits: int) -> ShiftSpec:
        """Powers from 1 on, the last code 0."""
        return log2(bits, octaves=room(bits))

    def tables(self, rows: Tensor, room: int) -> Tables:
        """One table; its scale from three octaves below the largest value to half an octave above it."""
        yield log2(self.bits, zero=self.flag, octaves=room), octaves(rows, -24, 4)
