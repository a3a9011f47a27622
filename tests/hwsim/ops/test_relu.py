import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.relu import Relu
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec


@given(data=st.data(), axis=st.sampled_from((None, 1)))
def test_codes_are_those_of_the_real_maximum(draw, apply, data, axis):
    x, spec = draw.tensor(data, (1, 3, 4), images=2, axis=axis)
    codes, out = apply(Relu(), (x, spec))
    assert out == spec
    assert codes.dtype == spec.quant.container
    np.testing.assert_array_equal(out.quant.to_real(codes), np.maximum(spec.quant.to_real(x), 0))


@given(seed=st.integers(0))
def test_floats_equal_torch(apply, floats, seed):
    x = np.random.default_rng(seed).normal(size=(2, 3, 5)).transpose(0, 2, 1)
    value, _ = apply(Relu(), floats(x))
    np.testing.assert_array_equal(value, torch.from_numpy(x.copy()).relu().numpy())


def test_one_comparison_per_element_at_its_width():
    for spec, bits in ((TensorSpec((1, 3, 4)), 32), (TensorSpec((1, 3, 4), QuantSpec(4, True, (1.0,))), 4)):
        assert Relu().count((spec,), Relu().infer((spec,))) == {Action("max", bits, bits): 12}


def test_a_grid_without_a_zero_is_refused():
    with pytest.raises(IllegalModel) as caught:
        Relu().infer((TensorSpec((1, 3), BipolarSpec((0.5,))),))
    assert str(caught.value) == (
        "relu takes floats or codes of an affine grid, got (B, 3) bipolar per_tensor scale=0.5; requantize it before"
    )
