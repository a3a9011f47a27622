"""bitfusion: time on units that fuse 2-bit multipliers. Total = sum of MAC / (floor(8 / max(a, 2)) floor(8 / max(w, 2))).

A unit does one 8 x 8 bit MAC per cycle, 2 of 8 x 4, 4 of 4 x 4, 16 of 2 x 2; the result is in cycles of one unit that is
never idle. Widths between run as the next that fits: 3 bits as 4, 5 to 7 as 8, 1 as 2. There are no floats; an 8-bit model
is what others are compared with. Source: Bit Fusion (Sharma et al., arXiv 1712.01507); that a MAC of odd widths runs at the
next is its rule, the closed form is ours. Status: printed. Factors 1, 2, 4, 4, 16 for 8/8, 8/4, 4/4, 3/3, 2/2 bits.
"""

from dataclasses import dataclass

from hwsim.cost.operations import Operations
from hwsim.op import Gemm


@dataclass(frozen=True, slots=True, kw_only=True)
class Bitfusion(Operations):
    """Cycles of one unit of 8 x 8 bits."""

    unit = "cycle"
    status = "printed"
    bits = (1, 2, 3, 4, 5, 6, 7, 8)

    def product(self, gemm: Gemm) -> float:
        """Cycles, in fractions."""
        return gemm.macs / ((8 // max(gemm.a_bits, 2)) * (8 // max(gemm.b_bits, 2)))
