"""exp in float64 of what is not positive (S6, S7), of IEEE operations alone: every CPU gets the same bits.

    x = n ln 2 + r,  |r| <= ln 2 / 2,  exp(x) = 2^n (1 + r + r^2 Q(r))

Additions, products, comparisons and integer operations on the bits, without branches, tables or calls: loops over these
functions vectorise. The error is below 1 ulp (subnormals: 1 step). n is read from the low bits of x / ln 2 + 1.5 * 2^52,
whose last place is 1; n * LN2_HIGH is exact, as LN2_HIGH has 32 significant bits. Q interpolates (exp(r) - 1 - r) / r^2
at Chebyshev's points, within 2e-17 of exp(r).
"""

import numpy as np

from hwsim.kernels.kernel import inline_kernel

LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238
LN2_LOW = 1.9082149292705877e-10
ONES = 6755399441055744.0
"""1.5 * 2^52: from it on, up to 2^53, neighbouring floats are 1 apart."""
ONES_BITS = 0x4338000000000000
LEAST = -746.0
"""exp of it, and of all below, rounds to 0."""


def _reduced(x: float) -> tuple[float, np.int64]:
    """exp(x) / 2^n - 1, between -0.3 and 0.42, and n; for |x| < 2^30."""
    places = np.float64(x * LOG2_E + ONES)
    n = places - ONES
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (0.5000000000000001 + r * 0.16666666666666669) + r2 * (0.04166666666662413 + r * 0.008333333333330062)
    high = (0.0013888888917214578 + r * 0.0001984126986305428) + r2 * (
        2.480152129461859e-05 + r * 2.755726845896983e-06
    )
    top = 2.7620089080782014e-07 + r * 2.5100385984118463e-08
    return r + r2 * (low + r4 * (high + r4 * top)), places.view(np.int64) - ONES_BITS


def _power_of_two(n: np.int64) -> np.float64:
    """2^n, for -1022 <= n <= 1023."""
    bits = np.int64((n + np.int64(1023)) << np.int64(52))
    return bits.view(np.float64)


def _exp(x: float) -> float:
    """exp(x) for x <= 0, NaN of NaN; the result may be subnormal, and is rounded once."""
    more, n = reduced(LEAST if x < LEAST else x)
    half = n >> np.int64(1)
    return (1.0 + more) * power_of_two(half) * power_of_two(n - half)


reduced = inline_kernel(_reduced)
power_of_two = inline_kernel(_power_of_two)
exp = inline_kernel(_exp)
