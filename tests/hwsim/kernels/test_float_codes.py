from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.float_codes import dequantize, dequantize_columns, quantize, quantize_columns
from hwsim.spec import QuantSpec

# NumPy's scalars warn where the kernels are run as plain Python (NUMBA_DISABLE_JIT=1); compiled code never does.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    x=st.lists(FINITE, min_size=1, max_size=6), scale=st.floats(2.3e-308, 1e300), bits=st.integers(1, 8), data=st.data()
)
def test_quantize_is_s2_of_the_rounded_quotient(x, scale, bits, data):
    """The quotient is rounded once to float64, as in torch and ONNX; then half to even, in exact arithmetic."""
    qmax = 2**bits - 1
    zero = data.draw(st.integers(0, qmax))
    out = np.empty((1, 1, len(x)), np.uint8)
    ok = quantize(np.array(x).reshape(1, 1, -1), np.array([scale]), np.array([zero], np.int64), 0, qmax, out)
    assert ok
    for value, code in zip(x, out.ravel().tolist(), strict=True):
        quotient = Fraction(value) / Fraction(scale)
        quotient = Fraction(float(quotient)) if abs(quotient) < 2**60 else quotient
        assert code == min(max(round(quotient) + zero, 0), qmax)


@pytest.mark.parametrize("scale", [0.1, 0.007, 3.3, 1 / 3])
def test_quantize_divides(scale):
    """Near ties, the product with the reciprocal scale would give another code."""
    x = (np.arange(-127, 128) + 0.5) * scale
    x = np.concatenate([x, np.nextafter(x, -np.inf), np.nextafter(x, np.inf)])
    out = np.empty((1, 1, x.size), np.int16)
    quantize(x.reshape(1, 1, -1), np.array([scale]), np.zeros(1, np.int64), -(2**15), 2**15 - 1, out)
    wanted = [round(Fraction(float(Fraction(value) / Fraction(scale)))) for value in x.tolist()]
    assert out.ravel().tolist() == wanted


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5])
def test_quantize_reports_what_is_not_finite(bad, place):
    x = np.zeros((2, 1, 3))
    x.reshape(-1)[place] = bad
    assert not quantize(x, np.ones(1), np.zeros(1, np.int64), 0, 15, np.empty((2, 1, 3), np.uint8))


def test_the_widest_codes():
    for low, high, dtype in ((-(2**31), 2**31 - 1, np.int32), (0, 2**32 - 1, np.uint32)):
        x = np.array([[[low - 0.6, low + 0.4, high - 0.5, high + 0.4, 1e300]]])
        out = np.empty(x.shape, dtype)
        assert quantize(x, np.ones(1), np.zeros(1, np.int64), low, high, out)
        assert out.ravel().tolist() == [low, low, high - high % 2, high, high]


def grids(channels, seed):
    draws = np.random.default_rng(seed)
    return draws.uniform(0.01, 2, channels), draws.integers(0, 16, channels)


@given(shape=st.tuples(*[st.integers(1, 20)] * 3), gap=st.integers(0, 2), seed=st.integers(0))
def test_grids_go_by_row_or_by_column(shape, gap, seed):
    """Rows that lie apart, against the specs of one channel each, and back to the reals."""
    x = np.random.default_rng(seed).normal(0, 5, (*shape[:2], shape[2] + gap))[..., : shape[2]]
    for axis, make, back in ((1, quantize, dequantize), (2, quantize_columns, dequantize_columns)):
        scale, zero = grids(shape[axis], seed)
        out, reals = np.empty(shape, np.uint8), np.empty(shape)
        assert make(x, scale, zero, 0, 15, out)
        back(out, scale, zero, reals)
        for c in range(shape[axis]):
            part = x.take(c, axis)
            wanted = np.clip(np.rint(part / scale[c]) + zero[c], 0, 15)
            np.testing.assert_array_equal(out.take(c, axis), wanted)
            grid = QuantSpec(4, False, (scale[c],), (int(zero[c]),))
            np.testing.assert_array_equal(reals.take(c, axis), grid.to_real(out.take(c, axis)))
