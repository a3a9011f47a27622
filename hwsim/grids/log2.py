"""Powers of two (S14): code c means scale * 2**-c; the last code means exactly 0 where `zero` is set.

With F the largest exponent, code c stands for the integer 1 << (F - c) in units of scale * 2**-F, so that a product
with it is a shift: F is 2**bits - 1, or one less with zero. `rounding` says where one power ends and the next begins
(`log`, `lis`, `nearest`, see `_rounding`).

Source: FQ-ViT (arXiv 2111.13824), log2 quantization of softmax outputs. Departure: there all that lies beyond the last
code is 0 besides, one level more than the bits can hold; here 0 is the last code, or there is none.
"""

from hwsim.grids._rounding import boundaries
from hwsim.spec import ShiftSpec, check_bits


def log2(bits: int, scale: float = 1.0, *, zero: bool = True, rounding: str = "log") -> ShiftSpec:
    """The grid of 1..5 bits (4 without zero) whose largest value is `scale`."""
    check_bits("log2", bits, 5 if zero else 4)
    last = (1 << bits) - 1 - zero
    none = (0,) * zero
    return ShiftSpec(
        bits=bits,
        scale=(scale * 2.0**-last,),
        significand=(1,) * (last + 1) + none,
        shift=(*range(last, -1, -1), *none),
        boundaries=boundaries(last, rounding, zero=zero),
    )
