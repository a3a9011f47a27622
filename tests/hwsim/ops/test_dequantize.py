import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.quantize import Quantize
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec


@given(data=st.data())
def test_quantize_takes_it_back(draw, apply, data):
    """Every code survives the way to the reals and back."""
    codes, spec = draw.tensor(data, (1, 3, 4), images=2, axis=data.draw(st.sampled_from((None, 1, 2))))
    reals, out = apply(Dequantize(), (codes, spec))
    assert (reals.dtype, out.quant) == (np.float64, None)
    back, _ = apply(Quantize(spec.quant), (reals, out))
    np.testing.assert_array_equal(back, codes)


def test_s1(apply):
    grid = QuantSpec(4, False, (0.5, 2.0), (3, 15), 1)
    reals, _ = apply(Dequantize(), (np.array([[0, 0], [15, 15]], np.uint8), TensorSpec((1, 2), grid)))
    assert reals.tolist() == [[-1.5, -30.0], [6.0, 0.0]]
    signs, _ = apply(Dequantize(), (np.array([[1, -1]], np.int8), TensorSpec((1, 2), BipolarSpec((0.25,)))))
    assert signs.tolist() == [[0.25, -0.25]]


def test_refuses_floats_and_counts():
    with pytest.raises(IllegalModel, match=r"^dequantize takes codes, got \(B, 2\) float; remove it$"):
        Dequantize().infer((TensorSpec((1, 2)),))
    x = TensorSpec((1, 2), QuantSpec(19, True, (1.0,)))
    assert Dequantize().count((x,), Dequantize().infer((x,))) == {Action("dequantize", 19, 32): 2}
