"""Lis: powers of two from 1 down, as a log-int-softmax makes them (FQ-ViT, arXiv 2111.13824).

The grid is `hwsim.grids.log2` with the last code exactly 0, and rounding `lis`: the reciprocal is rounded, at 1.5 times a
power of two, so that a probability goes up to 2^-k from 2^-k / 1.5 on. It is fixed, since a probability is at most 1, and
since the integer operator (S12c) finds the code from the leading one of sum / exp and the bit behind it, without a scale: in
the integer form its codes stand in the place of this quantizer's.
"""

from torch import Tensor

from hwsim.grids.log2 import log2
from hwsim.spec import ShiftSpec
from qmodels.shift_quantizer import ShiftQuantizer, Tables, room


class Lis(ShiftQuantizer):
    """Grid of powers of two whose largest is 1."""

    kind = "lis"

    @classmethod
    def first(cls, bits: int) -> ShiftSpec:
        """The grid itself."""
        return log2(bits, rounding="lis", octaves=room(bits))

    def tables(self, rows: Tensor, room: int) -> Tables:
        """The one there is."""
        yield log2(self.bits, rounding="lis", octaves=room), rows.new_ones(1, len(rows))
