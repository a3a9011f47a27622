import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.mean import Mean
from hwsim.spec import TensorSpec


@given(
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    axes=st.sampled_from(((1,), (2,), (3,), (1, 2), (2, 3), (1, 2, 3))),
    keep=st.booleans(),
    order=st.permutations((1, 2, 3)),
    seed=st.integers(0),
)
def test_equals_torch_and_takes_images_one_by_one(apply, floats, shape, axes, keep, order, seed):
    x = np.random.default_rng(seed).normal(size=(3, *shape)).transpose(0, *order)
    value, out = apply(Mean(axes, keep), floats(x))
    wanted = torch.from_numpy(x).mean(axes, keepdim=keep).numpy()
    np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-14)
    assert value.shape == (3, *out.shape[1:])
    alone = [apply(Mean(axes, keep), floats(x[i : i + 1]))[0] for i in range(3)]
    np.testing.assert_array_equal(value, np.concatenate(alone))


def test_cost():
    x = TensorSpec((1, 7, 7, 16))
    assert Mean((1, 2)).count((x,), Mean((1, 2)).infer((x,))) == {Action("add", 32, 32): 784, Action("div", 32, 32): 16}


@pytest.mark.parametrize(
    ("axes", "text"),
    [
        ((0, 1), "the batch is not averaged, got (0, 1); choose other axes"),
        ((3,), "an axis is 0..2, got 3; count axes from the front"),
        ((-1,), "an axis is 0..2, got -1; count axes from the front"),
    ],
)
def test_illegal(axes, text):
    with pytest.raises(IllegalModel) as caught:
        Mean(axes).infer((TensorSpec((1, 2, 3)),))
    assert str(caught.value) == text
