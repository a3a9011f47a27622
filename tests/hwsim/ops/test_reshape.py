import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.ops.reshape import Reshape
from hwsim.spec import QuantSpec, TensorSpec


@pytest.mark.parametrize("shape", [(1, 24), (1, 2, 3, 4), (4, 6), (1, 4, 1, 6), (2, 2, 3, 2)])
def test_floats_and_codes(apply, draw, floats, shape):
    x = np.arange(72.0).reshape(3, 4, 6)
    value, out = apply(Reshape(shape), floats(x))
    np.testing.assert_array_equal(value, x.reshape(3 * shape[0], *shape[1:]))
    grid = QuantSpec(8, False, (0.5,), (3,))
    codes, coded = apply(Reshape(shape), (x.astype(np.uint8), TensorSpec((1, 4, 6), grid)))
    assert (out.shape, coded.quant, codes.dtype) == (shape, grid, np.uint8)


@given(data=st.data())
def test_the_channel_axis_stays_whole(draw, apply, data):
    """(B, 6, 4, c) seen as (B, 3, 2, 4, c) or (B, 24, c): the real values are the same ones."""
    channels = data.draw(st.integers(1, 3))
    codes, spec = draw.tensor(data, (1, 6, 4, channels), axis=3, images=2)
    for shape in ((1, 3, 2, 4, channels), (1, 24, channels), (1, 6, 4, 1, channels)):
        moved, out = apply(Reshape(shape), (codes, spec))
        assert out.quant.axis == len(shape) - 1
        np.testing.assert_array_equal(out.quant.to_real(moved).ravel(), spec.quant.to_real(codes).ravel())


def test_a_channel_axis_in_the_middle_moves():
    spec = TensorSpec((1, 2, 3, 4), QuantSpec(4, True, (1.0, 2.0), (0, 0), 1))
    assert Reshape((1, 1, 2, 12)).infer((spec,)).quant.axis == 2


def test_a_constant_keeps_its_leading_axis(apply, floats):
    value, out = apply(Reshape((6, 2)), floats(np.arange(12.0).reshape(3, 4), batched=False))
    assert (value.shape, out.batched) == ((6, 2), False)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 23), "24 elements must stay, got (1, 23); fix the shape"),
        ((1, 2, 2, 6), "per-channel codes must keep their channel axis, got (1, 2, 2, 6); quantize per tensor"),
        ((1, 24), "per-channel codes must keep their channel axis, got (1, 24); quantize per tensor"),
        ((1, 6, 4), "per-channel codes must keep their channel axis, got (1, 6, 4); quantize per tensor"),
    ],
)
def test_illegal(shape, text):
    spec = TensorSpec((1, 4, 6), QuantSpec(4, True, (1.0,) * 4, (0,) * 4, 1))
    with pytest.raises(IllegalModel) as caught:
        Reshape(shape).infer((spec,))
    assert str(caught.value) == text
