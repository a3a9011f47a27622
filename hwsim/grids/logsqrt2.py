"""Powers of the square root of two (S14): code 2m means scale * 2**-m, code 2m+1 scale * 2**-(m+1) * sqrt(2); the last
code means exactly 0 where `zero` is set.

An even code is a shift. An odd one is a small multiplication besides, by sqrt(2) to `mantissa_bits` bits: 181 / 2**7. A
boundary lies in the middle of the exponents: code c begins at scale * 2**(-(c - 1/2) / 2). Where `octaves` is not 0, no power
is below scale * 2**-octaves: all codes from there on mean what the last one does.

Source: RepQ-ViT (arXiv 2212.08254), log-sqrt2 quantization of softmax outputs. Departures: sqrt(2) is a fixed-point
number, there a float; all beyond the last code is 0 there besides, one level more than the bits can hold.
"""

import math

from hwsim.grids._octaves import MAX_OCTAVES, check_octaves
from hwsim.spec import MAX_SHIFT_BITS, ShiftSpec, check_bits


def logsqrt2(
    bits: int, scale: float = 1.0, *, zero: bool = True, mantissa_bits: int = 7, octaves: int = 0
) -> ShiftSpec:
    """The grid of 1..5 bits (8 of 1..30 octaves) whose largest value is `scale`."""
    check_octaves("logsqrt2", octaves)
    check_bits("logsqrt2", bits, MAX_SHIFT_BITS if octaves else 5)
    if not 1 <= mantissa_bits <= 15:
        raise ValueError(f"logsqrt2: mantissa_bits must be 1..15, got {mantissa_bits}")
    powers = min(
        (1 << bits) - zero, 2 * (octaves or MAX_OCTAVES) + 1
    )  # the codes behind them are 0, or repeat the last
    largest = powers // 2  # shift of code 0, before that of the mantissa
    root = round(math.sqrt(2) * (1 << mantissa_bits))
    one = largest + mantissa_bits  # 1 is 2**one units
    significand = [root if c % 2 else 1 for c in range(powers)]
    shift = [largest - c // 2 - 1 if c % 2 else one - c // 2 for c in range(powers)]
    boundaries = [2.0 ** (one - (c + 0.5) / 2) for c in range(powers - 1 + zero)]
    rest = (1 << bits) - powers
    return ShiftSpec(
        bits=bits,
        scale=(scale * 2.0**-one,),
        significand=(*significand, *(0 if zero else significand[-1],) * rest),
        shift=(*shift, *(0 if zero else shift[-1],) * rest),
        boundaries=tuple(reversed(boundaries)),
    )
