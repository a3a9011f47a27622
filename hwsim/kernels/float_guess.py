"""Codes of gelu and softmax guessed in float32, which is several times as fast, and whether they are sure (S2, S6, S7).

A code is sure where the guess lies so far from the middle between two integers that float64 rounds to the same one. For
that the distance of the guess to float64, in steps of the grid, is bounded by

    gelu      NEAR_GELU (|p| + |b|) / scale                   of x = p + b, product and bias
    softmax   (56 + N / 16) u y + 3/2 u / t + NEAR_ZERO       of y = exp(x) / t, t = scale times the sum of N exp(x)

The first is at least three times of what tests measure. For the second, with u = 2^-24: exp(x) is off by 4 u of itself
(tests measure 1.6), and by 7/2 u |x| because x is: a difference, a unit and their product are rounded, and the float64s
that are compared with by u / 2, as accumulators are below 2^25. The sum is off by the mean of these, |x| then counting
ln N < 7 at most (its mean is the shares' entropy less the logarithm of the sum, which is 1 or more), and by the N / 16 + 16
roundings on the way of each term; a reciprocal and a product add 2 u. Last, |x| exp(x) <= 1 / e. NEAR_ZERO is for what is
smaller than all that.

A guess that is not finite is never sure. Whoever calls makes codes
that are not sure again in float64, so that codes do not depend on what is guessed here. Loops hold no float64: it would
halve the lanes of everything else in them. `fused`, because no code depends on a guess's last bits.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import inline_kernel, kernel
from hwsim.kernels.simd.float_rows import row_max, row_sum

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Sums = npt.NDArray[np.int32]
Codes = npt.NDArray[np.integer]
F = np.float32

NEAR_GELU, NEAR_ZERO, NEAR_TOP, ROUNDING = F(2.0**-19), F(2.0**-20), F(1.5 * 2.0**-24), 2.0**-24
WIDEST = 4096.0
"""Most steps from zero to an end of the grid for which a guess is tried: beyond it few would be sure."""
FINEST, COARSEST = 1e-30, 1e30
"""Scales for which a guess is tried: they and their reciprocals are normal numbers in float32."""
LONGEST = 1024
"""Most terms of a sum in float32."""
WIDE = 1 << 25
"""Accumulators of softmax below which guesses are tried."""

ZERO, HALF, ONE, ROOT_HALF = F(0.0), F(0.5), F(1.0), F(0.70710678)
LOG2_E, LN2_HIGH, LN2_LOW = F(1.442695), F(0.693359375), F(-2.1219444e-4)
ONES, ONES_BITS = F(12582912.0), 0x4B400000
"""1.5 * 2^23, as in float_exp."""
LEAST, MOST = F(-87.0), F(4.0)
E0, E1, E2, E3, E4 = F(0.5), F(0.16666576), F(0.041666556), F(0.008363195), F(0.0013926204)
P0, P1, P2 = F(1.0000001), F(0.60994846), F(0.16257142)
Q1, Q2, Q3 = F(1.7383399), F(1.123886), F(0.2832093)


def _guess_exp(x: np.float32) -> np.float32:
    """exp(x) for x <= 0, as in float_exp."""
    x = LEAST if x < LEAST else x
    places = F(x * LOG2_E + ONES)
    n = places - ONES
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    r2 = r * r
    value = ONE + (r + r2 * ((E0 + r * E1) + r2 * ((E2 + r * E3) + r2 * E4)))
    bits = np.int32((places.view(np.int32) - ONES_BITS + 127) << 23)
    return value * bits.view(np.float32)


guess_exp = inline_kernel(_guess_exp, fused=True)


def _guess_gelu(x: np.float32) -> np.float32:
    """x / 2 * (1 + erf(x / sqrt(2))), as in float_erf."""
    z = abs(x) * ROOT_HALF
    z = MOST if z > MOST else z
    z2 = z * z
    tail = guess_exp(-z2) * ((P0 + z * P1) + z2 * P2) / ((ONE + z * Q1) + z2 * (Q2 + z * Q3))
    return x * HALF * (tail if x < ZERO else (ONE + ONE) - tail)


guess_gelu = inline_kernel(_guess_gelu, fused=True)


def _guessable(scale: float, low: float, high: float) -> bool:
    """Whether codes low..high of this scale may be guessed."""
    return FINEST < scale < COARSEST and max(-low, high) < WIDEST


guessable = kernel(_guessable)


def _narrowed(scale: Float64, bias: Float64, scale32: Float32, bias32: Float32) -> bool:
    """Both in float32, and whether all of `scale` may be guessed with; a bias that overflows makes no guess sure."""
    fine = True
    for n in range(scale.shape[0]):
        fine &= FINEST < scale[n] < COARSEST
        scale32[n], bias32[n] = scale[n], bias[n]
    return fine


def _guess_gelu_codes(
    acc: Sums, scale: Float32, bias: Float32, q_scale: float, q_zero: int, low: float, high: float, out: Codes
) -> bool:
    """Codes (N,) of gelu(acc * scale + bias); False where one is not sure."""
    inverse = F(1.0 / q_scale)
    most, least, near, zero = F(high), F(low), inverse * NEAR_GELU, np.int32(q_zero)
    sure = True
    for n in range(acc.shape[0]):
        product = F(acc[n]) * scale[n]
        steps = guess_gelu(product + bias[n]) * inverse
        steps = least if steps < least else steps
        steps = most if steps > most else steps
        whole = F(steps + ONES)
        sure &= bool(abs(steps - (whole - ONES)) < HALF - (abs(product) + abs(bias[n])) * near)
        out[n] = np.int32(np.int32(whole.view(np.int32) - ONES_BITS) + zero)
    return sure


def _guess_shares(exps: Float32, q_scale: float, q_zero: int, low: float, high: float, out: Codes) -> bool:
    """Codes (N,) of exps / sum; False where one is not sure."""
    inverse = F(1.0 / (float(row_sum(exps)) * q_scale))
    most, least, zero = F(high), F(low), np.int32(q_zero)
    near, room = F((56 + exps.shape[0] / 16) * ROUNDING), (HALF - NEAR_ZERO) - inverse * NEAR_TOP
    sure = True
    for n in range(exps.shape[0]):
        guess = exps[n] * inverse
        steps = least if guess < least else guess
        steps = most if steps > most else steps
        whole = F(steps + ONES)
        sure &= bool(abs(steps - (whole - ONES)) < room - guess * near)
        out[n] = np.int32(np.int32(whole.view(np.int32) - ONES_BITS) + zero)
    return sure


guess_shares = kernel(_guess_shares, fused=True)


def _guess_score_codes(
    acc: Sums, unit: float, q_scale: float, q_zero: int, low: float, high: float, exps: Float32, out: Codes
) -> bool:
    """Codes (N,) of softmax(acc * unit); exps (N,) is room; False where a code is not sure."""
    if acc.shape[0] > LONGEST or not FINEST < unit < COARSEST:
        return False
    top, step, bits = acc[0], F(-unit), np.int32(0)
    for n in range(acc.shape[0]):
        top = max(top, acc[n])
        bits |= acc[n] ^ (acc[n] >> np.int32(31))
    if bits >= WIDE:
        return False
    for n in range(acc.shape[0]):
        exps[n] = guess_exp(F(np.uint32(top - acc[n])) * step)
    return guess_shares(exps, q_scale, q_zero, low, high, out)


def _guess_softmax_codes(
    x: Float64, q_scale: float, q_zero: int, low: float, high: float, exps: Float32, out: Codes
) -> bool:
    """Codes (N,) of softmax(x); exps (N,) is room; False where a code is not sure."""
    if x.shape[0] > LONGEST:
        return False
    top = row_max(x)
    for n in range(x.shape[0]):
        exps[n] = guess_exp(F(x[n] - top))
    return guess_shares(exps, q_scale, q_zero, low, high, out)


narrowed = kernel(_narrowed)
guess_gelu_codes = kernel(_guess_gelu_codes, fused=True)
guess_score_codes = kernel(_guess_score_codes, fused=True)
guess_softmax_codes = kernel(_guess_softmax_codes, fused=True)
