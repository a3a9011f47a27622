"""erf in float64 (S7), of IEEE operations alone: every CPU gets the same bits.

    erf(z) = sign(z) (1 - exp(-z^2) P(|z|) / Q(|z|)),  |z| <= 6

P / Q is exp(z^2) erfc(z), fitted for the least absolute error of erfc on 0..6 (2e-19); from 6 on erf rounds to 1. All
coefficients are positive, so nothing cancels in P and Q; P(0) = Q(0) = 1, which is left away where |z| is small:

    erf(z) = ((Q - 1) - (P - 1) - (exp(-z^2) - 1) P) / Q

The absolute error is below 1.5 ulp of 1. There are no branches, tables or calls: loops over erf vectorise.
"""

from hwsim.kernels.float_exp import power_of_two, reduced
from hwsim.kernels.kernel import inline_kernel

MOST = 6.0
"""erf of it, and of all above, rounds to 1."""
SMALL = 0.45
"""Below it exp(-z^2) is above 2^-0.5, so that `reduced` has no power of two to take off."""


def _numerator(z: float) -> float:
    """P(z) - 1; P has degree 7."""
    z2 = z * z
    low = z * 1.586346431234261 + z2 * (1.2698884166102034 + z * 0.6255109800855204)
    high = (0.20157430535320687 + z * 0.042149826757092026) + z2 * (0.005289101718404958 + z * 0.00030827417479334724)
    return low + z2 * z2 * high


def _denominator(z: float) -> float:
    """Q(z) - 1; Q has degree 8."""
    z2 = z * z
    z4 = z2 * z2
    low = z * 2.7147255983297735 + z2 * (3.333128226146425 + z * 2.4240706114609366)
    high = (1.1458767297737866 + z * 0.36195592503826717) + z2 * (0.07498291841790811 + z * 0.009374626150558228)
    return low + z4 * (high + z4 * 0.0005464035093605042)


def _erf(z: float) -> float:
    """erf(z), NaN of NaN."""
    size = abs(z)
    size = MOST if size > MOST else size
    small = size < SMALL
    more, n = reduced(-(size * size))
    p, q = numerator(size), denominator(size)
    above = (q - p) - more * (1.0 + p)
    below = (1.0 + more) * power_of_two(n) * (1.0 + p)
    part = (above if small else below) / (1.0 + q)
    value = part if small else 1.0 - part
    return -value if z < 0.0 else value


numerator = inline_kernel(_numerator)
denominator = inline_kernel(_denominator)
erf = inline_kernel(_erf)
