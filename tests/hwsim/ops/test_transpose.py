import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.ops.transpose import Transpose
from hwsim.spec import TensorSpec


@given(data=st.data(), order=st.permutations((1, 2, 3)), axis=st.sampled_from((None, 1, 2, 3)))
def test_values_and_channels_move_alike(draw, apply, data, order, axis):
    codes, spec = draw.tensor(data, (1, 2, 3, 4), axis=axis, images=2)
    moved, out = apply(Transpose((0, *order)), (codes, spec))
    np.testing.assert_array_equal(moved, torch.from_numpy(codes).permute(0, *order).numpy())
    np.testing.assert_array_equal(out.quant.to_real(moved), spec.quant.to_real(codes).transpose(0, *order))
    assert moved.shape == (2, *out.shape[1:])


def test_a_constant_may_lead_with_another_axis(apply, floats):
    value, out = apply(Transpose((1, 0)), floats(np.arange(6.0).reshape(2, 3), batched=False))
    assert (value.tolist(), out.shape) == ([[0, 3], [1, 4], [2, 5]], (3, 2))


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ((0, 1), "each of 3 axes once, got (0, 1); fix the order"),
        ((0, 1, 1), "each of 3 axes once, got (0, 1, 1); fix the order"),
        ((0, 1, -1), "each of 3 axes once, got (0, 1, -1); fix the order"),
        ((1, 0, 2), "the batch must stay the leading axis, got (1, 0, 2); slice before"),
    ],
)
def test_illegal(order, text):
    with pytest.raises(IllegalModel) as caught:
        Transpose(order).infer((TensorSpec((1, 2, 3)),))
    assert str(caught.value) == text
