"""Twin uniform for probabilities: fine steps near 0, coarse ones above, of ratio 2^m (PTQ4ViT, arXiv 2111.12293).

The grid is `hwsim.grids.twinuniform`, split by magnitude: one bit of the code says which range, the others count its steps,
and a product shifts by m where the bit is set; at 2 bits there is one step to count, so that any product is a shift. A value
is quantized in one range, to within half a step of it; the released code quantizes in both and adds, so that all is too large
by the split. Scale and m are those of least squared error; there the coarse range always ends at 1, and the fine step is
searched by the output's error. See `twin_sign` for what GELU makes.
"""

import torch
from torch import Tensor

from hwsim.grids.twinuniform import twinuniform
from hwsim.spec import ShiftSpec
from qmodels.shift_quantizer import ShiftQuantizer, Tables, top

FRACTIONS = tuple(k / 16 for k in range(5, 18))
"""Where the coarse range may end, in terms of the largest value."""


class TwinUniform(ShiftQuantizer):
    """Grid of two uniform ranges."""

    kind = "twin_uniform"
    split = "magnitude"
    least = 2

    @classmethod
    def first(cls, bits: int) -> ShiftSpec:
        """Coarse steps of two fine ones, up to about 1."""
        return twinuniform(bits, 2.0**-bits, m=1, split=cls.split)

    def tables(self, rows: Tensor, room: int) -> Tables:
        """One for each m from 0 on that has room; its scale puts the end of the coarse range to one of FRACTIONS."""
        ends = top(rows) * torch.tensor(FRACTIONS, dtype=rows.dtype, device=rows.device)[:, None]
        for m in range(max(0, room - (self.bits - 1)) + 1):
            yield twinuniform(self.bits, m=m, split=self.split), ends / ((2 ** (self.bits - 1) - 1) << m)
