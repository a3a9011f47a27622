from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwsim.kernels.requantize import ROUNDINGS, requantize

INT32 = st.integers(-(2**31), 2**31 - 1) | st.sampled_from((-(2**31), 2**31 - 1, -1, 0, 1))
INT33 = st.integers(1 - 2**32, 2**32 - 1) | st.sampled_from((1 - 2**32, 2**32 - 1))  # 32-bit code less a zero point
MULTIPLIER = st.integers(0, 2**31 - 1) | st.sampled_from([0, 1, 2**31 - 1, 2**30, 2**16])
LIMIT = 2**62
# NumPy's scalars warn where the kernels are run as plain Python (NUMBA_DISABLE_JIT=1); compiled code never does.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")


def expected(acc, multiplier, shift, rounding):
    """S4 before clamping, in unbounded integers."""
    exact = Fraction(acc * multiplier, 2**shift)
    if rounding == "half_even":
        return round(exact)
    if rounding == "floor":
        return floor(exact)
    nudge = (2**30 if acc >= 0 else -(2**30)) if rounding == "double_round" and shift > 31 else 0  # TOSA apply_scale_32
    return floor(exact + Fraction(1, 2) + Fraction(nudge, 2**shift))


def gemmlowp(acc, multiplier, shift):
    """SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT: rounds half away from zero, twice."""
    product = acc * multiplier
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    high = abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)  # C++ division truncates
    exponent = shift - 31
    remainder = high & (2**exponent - 1)
    threshold = (2**exponent - 1 >> 1) + (high < 0)
    return (high >> exponent) + (remainder > threshold)


def run(acc, multiplier, shift, rounding, zero_point=0, qmin=-LIMIT, qmax=LIMIT, zero_in=0, offset=0):
    acc = np.atleast_1d(np.array(acc, np.int64))
    out = np.empty((1, 1, acc.size), np.int64)
    one = (np.array([value], np.int64) for value in (zero_in, multiplier, shift, offset, zero_point))
    requantize(acc.reshape(1, 1, -1), *one, qmin, qmax, ROUNDINGS.index(rounding), out)
    return out.ravel().tolist()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@given(acc=INT32 | INT33, multiplier=MULTIPLIER, shift=st.integers(1, 62))
@example(acc=-(2**31), multiplier=2**31 - 1, shift=62)
@example(acc=2**32 - 1, multiplier=2**31 - 1, shift=62)
@example(acc=1 - 2**32, multiplier=2**31 - 1, shift=62)
@example(acc=-(2**31), multiplier=2**31 - 1, shift=1)
def test_rounds_as_fractions_do(rounding, acc, multiplier, shift):
    assert run(acc, multiplier, shift, rounding) == [expected(acc, multiplier, shift, rounding)]


@given(acc=st.integers(-(2**20), 2**20), exponent=st.integers(0, 30), shift=st.integers(1, 62))
def test_ties(acc, exponent, shift):
    """Powers of two as multipliers, where exact halves are common."""
    for rounding in ROUNDINGS:
        assert run(acc, 2**exponent, shift, rounding) == [expected(acc, 2**exponent, shift, rounding)]


@given(acc=INT32, multiplier=MULTIPLIER | st.just(2**30), shift=st.integers(31, 62))
@example(acc=-2, multiplier=2**30, shift=32)
def test_double_round_is_gemmlowp(acc, multiplier, shift):
    assert run(acc, multiplier, shift, "double_round") == [gemmlowp(acc, multiplier, shift)]


HALF, QUARTER = (2**30, 31), (2**30, 32)


@pytest.mark.parametrize(
    ("factor", "rounding", "accumulators", "codes"),
    [  # worked by hand and run in ONNX, TOSA's reference model and gemmlowp
        (HALF, "half_even", (-5, -3, -1, 1, 3, 5), (-2, -2, 0, 0, 2, 2)),
        (HALF, "half_up", (-5, -3, -1, 1, 3, 5), (-2, -1, 0, 1, 2, 3)),
        (QUARTER, "half_even", (-6, -2, -1, 1, 2, 3, 6, 10), (-2, 0, 0, 0, 0, 1, 2, 2)),
        (QUARTER, "half_up", (-6, -2, -1, 1, 2, 3, 6, 10), (-1, 0, 0, 0, 1, 1, 2, 3)),
        (QUARTER, "double_round", (-6, -2, -1, 1, 2, 3, 6, 10), (-2, -1, 0, 1, 1, 1, 2, 3)),
        (QUARTER, "floor", (-6, -2, -1, 1, 2, 3, 6, 10), (-2, -1, -1, 0, 0, 0, 1, 2)),
    ],
)
def test_worked_tables(factor, rounding, accumulators, codes):
    assert run(accumulators, *factor, rounding) == list(codes)


@given(acc=INT32, zero_point=st.integers(-128, 127))
def test_zero_point_then_clamp(acc, zero_point):
    wanted = min(max(expected(acc, 2**30, 40, "half_even") + zero_point, -128), 127)
    assert run(acc, 2**30, 40, "half_even", zero_point, -128, 127) == [wanted]


@given(code=INT32, zero_in=INT32, multiplier=MULTIPLIER, shift=st.integers(1, 62))
@example(code=-(2**31), zero_in=2**31 - 1, multiplier=2**31 - 1, shift=62)
def test_input_zero_point_comes_off_first(code, zero_in, multiplier, shift):
    for rounding in ROUNDINGS:
        wanted = expected(code - zero_in, multiplier, shift, rounding)
        assert run(code, multiplier, shift, rounding, zero_in=zero_in) == [wanted]


@given(acc=st.integers(-(2**31), 2**31 - 1), offset=st.integers(-(2**62) + 1, 2**62 - 1), shift=st.integers(1, 62))
def test_the_offset_joins_the_product(acc, offset, shift):
    """With a multiplier of 1 the kernel rounds acc + offset itself."""
    wanted = round(Fraction(acc + offset, 2**shift))
    assert run(acc, 1, shift, "half_even", offset=offset, qmin=-(2**62), qmax=2**62) == [wanted]


def test_everything_per_channel():
    acc = np.arange(-12, 12, dtype=np.int32).reshape(2, 3, 4)
    zero_in, zero_out = np.array([0, -4, 9]), np.array([1, 0, -2])
    multiplier, shift = np.array([1, 3, 5], np.int64), np.array([1, 2, 3], np.int64)
    offset = np.array([0, 7, -50], np.int64)
    out = np.empty((2, 3, 4), np.int8)
    requantize(acc, zero_in, multiplier, shift, offset, zero_out, -128, 127, 0, out)
    for (i, c, j), code in np.ndenumerate(out):
        product = int((acc[i, c, j] - zero_in[c]) * multiplier[c] + offset[c])
        assert code == round(Fraction(product, 2 ** int(shift[c]))) + zero_out[c]
