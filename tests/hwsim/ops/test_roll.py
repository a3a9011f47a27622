import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.ops.roll import Roll
from hwsim.spec import QuantSpec, TensorSpec


@given(data=st.data(), shifts=st.tuples(st.integers(-9, 9), st.integers(-9, 9)), axis=st.sampled_from((None, 3)))
def test_equals_torch_and_is_undone(draw, apply, data, shifts, axis):
    codes, spec = draw.tensor(data, (1, 4, 5, 2), axis=axis, images=2)
    rolled, out = apply(Roll(shifts, (1, 2)), (codes, spec))
    np.testing.assert_array_equal(rolled, torch.roll(torch.from_numpy(codes), shifts, (1, 2)).numpy())
    assert out == spec
    back, _ = apply(Roll(tuple(-s for s in shifts), (1, 2)), (rolled, out))
    np.testing.assert_array_equal(back, codes)


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Roll((1,), (0,)), "the batch is not rolled, got (0,); choose other axes"),
        (Roll((1,), (2,)), "channels are not rolled, got (B, 2, 3) s4 per_channel(axis=2, n=3); quantize per tensor"),
        (Roll((1,), (3,)), "an axis is 0..2, got 3; count axes from the front"),
        (Roll((1,), (-1,)), "an axis is 0..2, got -1; count axes from the front"),
        (Roll((1, 2), (1,)), "one shift per axis, got (1, 2); give as many"),
    ],
)
def test_illegal(op, text):
    spec = TensorSpec((1, 2, 3), QuantSpec(4, True, (1.0,) * 3, (0,) * 3, 2))
    with pytest.raises(IllegalModel) as caught:
        op.infer((spec,))
    assert str(caught.value) == text
