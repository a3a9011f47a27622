"""Powers of two (S14): code c means scale * 2**-c; the last code means exactly 0 where `zero` is set.

With F the largest exponent, code c stands for the integer 1 << (F - c) in units of scale * 2**-F, so that a product
with it is a shift: F is 2**bits - 1, or one less with zero, and at most `octaves` where that is not 0: all codes from there
on mean what the last one does. `rounding` says where one power ends and the next begins (`log`, `lis`, `nearest`, see
`_rounding`).

Source: FQ-ViT (arXiv 2111.13824), log2 quantization of softmax outputs. Departure: there all that lies beyond the last
code is 0 besides, one level more than the bits can hold; here 0 is the last code, or there is none.
"""

from hwsim.grids._octaves import MAX_OCTAVES, check_octaves
from hwsim.grids._rounding import boundaries
from hwsim.spec import MAX_SHIFT_BITS, ShiftSpec, check_bits


def log2(bits: int, scale: float = 1.0, *, zero: bool = True, rounding: str = "log", octaves: int = 0) -> ShiftSpec:
    """The grid of 1..5 bits (4 without zero; 8 of 1..30 octaves) whose largest value is `scale`."""
    check_octaves("log2", octaves)
    check_bits("log2", bits, MAX_SHIFT_BITS if octaves else 5 if zero else 4)
    last = min((1 << bits) - 1 - zero, octaves or MAX_OCTAVES)
    rest = (1 << bits) - 1 - last
    return ShiftSpec(
        bits=bits,
        scale=(scale * 2.0**-last,),
        significand=(1,) * (last + 1) + (0 if zero else 1,) * rest,
        shift=(*range(last, -1, -1), *(0,) * rest),
        boundaries=boundaries(last, rounding, zero=zero),
    )
