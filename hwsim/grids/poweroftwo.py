"""Signed powers of two (S14), for weights: the code's top bit is the sign, the others are k; it means sign * scale * 2**-k,
and 0 where k is the last.

With F = 2**(bits-1) - 2 the largest exponent, the code stands for sign << (F - k) in units of scale * 2**-F. The code of
-0 is never made: 2**bits - 1 values. Two bits are ternary weights.

Source: INQ (arXiv 1702.03044; rounding="nearest"), DeepShift (arXiv 1905.13298; rounding="log"). Departure:
DeepShift rounds a value below the smallest power to it, here to 0 where the next power would begin.
"""

from hwsim.grids._rounding import boundaries
from hwsim.spec import ShiftSpec, check_bits


def poweroftwo(bits: int, scale: float = 1.0, *, rounding: str = "log") -> ShiftSpec:
    """The grid of 2..6 bits from -scale to scale."""
    check_bits("poweroftwo", bits, 6, 2)
    last = (1 << (bits - 1)) - 2
    shift = (*range(last, -1, -1), 0)
    positive = boundaries(last, rounding, zero=True)
    return ShiftSpec(
        bits=bits,
        scale=(scale * 2.0**-last,),
        significand=(*(1,) * (last + 1), 0, *(-1,) * (last + 1), 0),
        shift=shift * 2,
        boundaries=(*(-boundary for boundary in reversed(positive)), *positive),
    )
