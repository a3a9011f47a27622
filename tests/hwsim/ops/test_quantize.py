from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.grids.log2 import log2
from hwsim.op import Action
from hwsim.ops.quantize import Quantize
from hwsim.spec import BipolarSpec, QuantSpec, ShiftSpec, TensorSpec

FLOAT = TensorSpec((1, 4))
# NumPy's scalars warn where the kernels are run as plain Python (NUMBA_DISABLE_JIT=1); compiled code never does.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")


def s2(value, scale, zero_point, spec):
    """S2 in exact arithmetic, after the one rounding of the quotient to float64."""
    return min(max(round(Fraction(float(Fraction(value) / Fraction(scale)))) + zero_point, spec.qmin), spec.qmax)


@given(data=st.data(), values=st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8))
def test_equals_exact_fractions(draw, apply, data, values):
    axis = data.draw(st.sampled_from((None, 1, 2)))
    spec = draw.grid(data, None, axis, 2)
    x = np.array(values).reshape(2, 2, 2)
    codes, out = apply(Quantize(spec), (x, TensorSpec((1, 2, 2))))
    assert (codes.dtype, out.quant) == (spec.container, spec)
    for index, code in np.ndenumerate(codes):
        channel = 0 if axis is None else index[axis]
        assert code == s2(x[index], spec.scale[channel], spec.zero_point[channel], spec)


@given(steps=st.integers(-600, 600), bits=st.integers(1, 8), power=st.integers(-20, 20), data=st.data())
def test_ties_go_to_even_before_the_zero_point(apply, draw, steps, bits, power, data):
    bare = QuantSpec(bits, data.draw(st.booleans()), (2.0**power,))
    spec = QuantSpec(bits, bare.signed, bare.scale, (data.draw(st.integers(bare.qmin, bare.qmax)),))
    codes, _ = apply(Quantize(spec), (np.array([[(steps + 0.5) * 2.0**power]]), TensorSpec((1, 1))))
    nearest = steps + 1 if steps % 2 else steps
    assert codes.item() == min(max(nearest + spec.zero_point[0], spec.qmin), spec.qmax)


@given(data=st.data(), power=st.integers(-8, 3), seed=st.integers(0))
def test_equals_torch_fake_quant(draw, apply, data, power, seed):
    """Torch multiplies by the reciprocal scale: the same where the scale is a power of two."""
    grid = draw.grid(data)
    spec = QuantSpec(grid.bits, grid.signed, (2.0**power,), grid.zero_point)
    x = np.random.default_rng(seed).normal(0, 4, (1, 64)).astype(np.float32)
    codes, _ = apply(Quantize(spec), (x.astype(np.float64), TensorSpec((1, 64))))
    wanted = torch.fake_quantize_per_tensor_affine(
        torch.from_numpy(x), spec.scale[0], spec.zero_point[0], spec.qmin, spec.qmax
    )
    np.testing.assert_array_equal(spec.to_real(codes), wanted.numpy())


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(("dtype", "signed"), [(torch.qint8, True), (torch.quint8, False)])
def test_equals_torch_quantize_per_tensor(apply, dtype, signed):
    spec = QuantSpec(8, signed, (0.25,), (4,))
    x = np.concatenate([np.random.default_rng(0).normal(0, 20, 1000), np.arange(-80, 80) / 8]).astype(np.float32)
    codes, _ = apply(Quantize(spec), (x[np.newaxis].astype(np.float64), TensorSpec((1, x.size))))
    wanted = torch.quantize_per_tensor(torch.from_numpy(x), spec.scale[0], spec.zero_point[0], dtype)
    np.testing.assert_array_equal(codes[0], wanted.int_repr().numpy())


def test_extremes_saturate(apply):
    tiny = np.finfo(np.float64).tiny
    codes, _ = apply(Quantize(QuantSpec(8, True, (tiny,), (5,))), (np.array([[1e308, -1e308, 0.0, -0.0]]), FLOAT))
    assert codes.tolist() == [[127, -128, 5, 5]]


def test_signs(apply):
    codes, out = apply(Quantize(BipolarSpec((0.5,))), (np.array([[-2.0, -0.0, 0.0, 1e-300]]), FLOAT))
    assert (codes.tolist(), codes.dtype, out.bits) == ([[-1, 1, 1, 1]], np.int8, 1)


@pytest.mark.parametrize("spec", [QuantSpec(4, True, (1.0,)), BipolarSpec((1.0,)), log2(2)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(apply, spec, bad):
    with pytest.raises(IllegalModel) as caught:
        apply(Quantize(spec), (np.array([[0.0, 1.0, bad, 0.0]]), FLOAT))
    assert str(caught.value) == "codes are made of finite numbers, got NaN or infinity; check the input"


def test_refuses_codes():
    with pytest.raises(IllegalModel) as caught:
        Quantize(QuantSpec(4, True, (1.0,))).infer((TensorSpec((1, 2), QuantSpec(2, True, (1.0,))),))
    assert str(caught.value) == "quantize takes floats, got (B, 2) s2 per_tensor scale=1; dequantize its input first"


def test_cost():
    op = Quantize(QuantSpec(4, True, (1.0,)))
    assert op.count((FLOAT,), op.infer((FLOAT,))) == {Action("quantize", 32, 4): 4}


@given(data=st.data(), values=st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=8))
def test_codes_that_are_not_uniform(draw, apply, data, values):
    """S14: the value above as many boundaries as are not above x / scale; of equal values the lowest code."""
    axis = data.draw(st.sampled_from((None, 1, 2)))
    spec = draw.shift_grid(data, axis, 2)
    x = np.array(values).reshape(2, 2, 2)
    codes, out = apply(Quantize(spec), (x, TensorSpec((1, 2, 2))))
    assert (codes.dtype, out.quant) == (np.uint8, spec)
    table = spec.values().tolist()
    for index, code in np.ndenumerate(codes):
        steps = x[index] / spec.scale[0 if axis is None else index[axis]]
        value = sorted(set(table))[sum(boundary <= steps for boundary in spec.boundaries)]
        assert code == table.index(value)


def test_a_boundary_belongs_to_the_value_above(apply):
    grid = ShiftSpec(2, (0.5,), (0, 1, 2, -1), (0,) * 4, (-0.5, 0.5, 1.5))
    codes, _ = apply(Quantize(grid), (np.array([[-0.25, 0.25, 0.75, 1e308]]), FLOAT))
    assert codes.tolist() == [[0, 1, 2, 2]]
