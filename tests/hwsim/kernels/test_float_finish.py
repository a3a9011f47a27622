"""Each kernel against its operators, one after the other, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels import float_finish as fused
from hwsim.kernels.elementwise import gelu, layernorm, softmax
from hwsim.kernels.float_codes import quantize

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 300))
GRIDS = st.sampled_from(((4, False), (4, True), (8, False), (8, True), (1, False), (16, False), (32, True)))
SCALES = st.floats(1e-3, 2) | st.sampled_from((0.25, 1.0, 1e-40, 1e-300, 1e40, 1e300))
NONE = np.empty((0, 0))
# NumPy's scalars warn where the kernels are run as plain Python (NUMBA_DISABLE_JIT=1); compiled code never does.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered:RuntimeWarning")


class Case:
    """Accumulators, constants and a grid; rows lie apart."""

    def __init__(self, data):
        self.shape = rows, columns = data.draw(SHAPES)
        draws = np.random.default_rng(data.draw(st.integers(0)))
        self.normal = draws.normal
        self.acc = draws.integers(-500, 500, (rows, columns + 3)).astype(np.int32)[:, :columns]
        self.scale, self.bias = draws.uniform(0.001, 0.02, columns), draws.normal(0, 1, columns)
        self.x = draws.normal(0.5, 2, (rows, columns + 3))[:, :columns]
        bits, signed = data.draw(GRIDS)
        low = -(2 ** (bits - 1)) if signed else 0
        high = low + 2**bits - 1
        zero = data.draw(st.integers(low, high))
        self.grid = data.draw(SCALES), zero, low, high
        kind = ("int" if signed else "uint") + str(max(8, bits))
        self.codes = np.empty((rows, columns + 5), kind)[:, :columns]

    def quantized(self, x):
        scale, zero, low, high = self.grid
        out = np.empty((1, *self.shape), self.codes.dtype)
        assert quantize(x[np.newaxis], np.array([scale]), np.array([zero]), low, high, out)
        return out[0]

    def through(self, kernel, x, *arguments):
        out = np.empty((1, *self.shape))
        kernel(np.ascontiguousarray(x)[np.newaxis], *arguments, out)
        return out[0]


@given(data=st.data())
def test_dequantize_add(data):
    case = Case(data)
    out, wanted = np.empty(case.shape), case.acc.astype(np.float64) * case.scale + case.bias
    fused.dequantize_add(case.acc, case.scale, case.bias, out)
    np.testing.assert_array_equal(out, wanted)
    fused.dequantize_add_residual(case.acc, case.scale, case.bias, case.x, out)
    np.testing.assert_array_equal(out, case.x + wanted)


@given(data=st.data())
def test_dequantize_add_gelu_quantize(data):
    case = Case(data)
    assert fused.dequantize_add_gelu_quantize(case.acc, case.scale, case.bias, *case.grid, case.codes)
    reals = case.through(gelu, case.acc.astype(np.float64) * case.scale + case.bias)
    np.testing.assert_array_equal(case.codes, case.quantized(reals))


@given(data=st.data())
def test_dequantize_quantize(data):
    case = Case(data)
    assert fused.dequantize_quantize(case.acc, 0.013, *case.grid, case.codes)
    np.testing.assert_array_equal(case.codes, case.quantized(case.acc * 0.013))


@given(data=st.data(), scaled=st.booleans(), addends=st.integers(0, 2))
def test_dequantize_mul_softmax_quantize(data, scaled, addends):
    case = Case(data)
    bias, mask = (case.normal(0, 2, case.shape) if i < addends else NONE for i in range(2))
    assert fused.dequantize_mul_softmax_quantize(case.acc, 0.07, scaled, 0.17, bias, mask, *case.grid, case.codes)
    scores = case.acc * 0.07
    scores = scores * 0.17 if scaled else scores
    for addend in (bias, mask)[:addends]:
        scores = scores + addend
    np.testing.assert_array_equal(case.codes, case.quantized(case.through(softmax, scores)))


@given(data=st.data())
def test_layernorm_quantize(data):
    case = Case(data)
    assert fused.layernorm_quantize(case.x, case.scale, case.bias, 1e-6, *case.grid, case.codes)
    reals = case.through(layernorm, case.x, case.scale, case.bias, 1e-6)
    np.testing.assert_array_equal(case.codes, case.quantized(reals))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_reported(bad):
    acc, out = np.ones((2, 140), np.int32), np.empty((2, 140), np.uint8)
    one, row = np.ones(140), np.ones(140)
    row[135] = bad
    both = np.ones((2, 140))
    both[1, 7] = bad
    grid = 0.1, 0, 0, 15
    assert not fused.dequantize_add_gelu_quantize(acc, one, row, *grid, out)
    assert not fused.layernorm_quantize(both, one, one, 1e-5, *grid, out)
    if bad != -np.inf:  # whose exp is 0
        assert not fused.dequantize_mul_softmax_quantize(acc, 1.0, False, 0.0, both, NONE, *grid, out)
    assert not fused.dequantize_quantize(acc, bad, *grid, out)
