import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.groupnorm import GroupNorm
from hwsim.spec import TensorSpec


@given(
    groups=st.integers(1, 3),
    depth=st.integers(1, 3),
    places=st.lists(st.integers(1, 6), max_size=2),
    order=st.permutations((0, 1)),
    seed=st.integers(0),
)
def test_equals_torch(apply, floats, groups, depth, places, order, seed):
    """However the image lies in memory."""
    generator = np.random.default_rng(seed)
    channels = groups * depth
    x = generator.normal(3, 2, size=(2, channels, *places))
    if len(places) == 2:
        axes = (0, 1, *(2 + axis for axis in order))
        x = np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
    weight, bias = generator.normal(size=(2, channels))
    value, out = apply(GroupNorm(groups, 1e-5), floats(x), floats(weight, batched=False), floats(bias, batched=False))
    tensors = [torch.from_numpy(v.copy()) for v in (x, weight, bias)]
    wanted = torch.nn.functional.group_norm(tensors[0], groups, *tensors[1:], 1e-5)
    np.testing.assert_allclose(value, wanted.numpy(), rtol=1e-9, atol=1e-9)
    assert out.shape == (1, *x.shape[1:])


def test_count():
    x, weight = TensorSpec((1, 6, 3, 3)), TensorSpec((6,), batched=False)
    assert GroupNorm(2).count((x, weight, weight), x) == {
        Action("add", 32, 32): 4 * 54,
        Action("mul", 32, 32): 3 * 54,
        Action("div", 32, 32): 6,
        Action("sqrt", 32, 32): 2,
    }


@pytest.mark.parametrize(
    ("groups", "x", "channels", "text"),
    [
        (4, TensorSpec((1, 6, 3)), 6, "groups must divide 6 channels, got 4; check the layer"),
        (0, TensorSpec((1, 6, 3)), 6, "groups must divide 6 channels, got 0; check the layer"),
        (2, TensorSpec((1, 6, 3)), 3, "weight and bias must be (6,), got (3) float; check the layer"),
        (1, TensorSpec((1,)), 1, "groupnorm takes a batch and channels, got (B) float; reshape before"),
    ],
)
def test_illegal(groups, x, channels, text):
    weight = TensorSpec((channels,), batched=False)
    with pytest.raises(IllegalModel) as caught:
        GroupNorm(groups).infer((x, weight, weight))
    assert str(caught.value) == text


def test_epsilon():
    with pytest.raises(
        ValueError, match=r"^groupnorm: epsilon must be finite and not negative, got -1.0; check the layer$"
    ):
        GroupNorm(1, -1.0)
