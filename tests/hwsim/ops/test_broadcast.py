"""add and mul share their broadcasting rules (`_broadcast.py`) and are tested together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.add import Add
from hwsim.ops.mul import Mul
from hwsim.spec import QuantSpec, TensorSpec

OPS = [(Add(), np.add, "add"), (Mul(), np.multiply, "mul")]


@pytest.mark.parametrize(("op", "oracle", "_"), OPS)
@given(seed=st.integers(0), rank=st.integers(1, 4), images=st.integers(1, 3), swap=st.booleans(), data=st.data())
def test_broadcasts_as_numpy(apply, floats, op, oracle, _, seed, rank, images, swap, data):
    generator = np.random.default_rng(seed)
    shape = (images, *generator.integers(1, 4, rank - 1).tolist())
    batched = data.draw(st.booleans())
    other = [data.draw(st.sampled_from((1, size))) for size in shape]
    other = [images, *other[1:]] if batched else [1, *other[1:]][data.draw(st.integers(0, rank)) :]
    operands = [floats(generator.normal(size=shape)), floats(generator.normal(size=other), batched=batched)]
    operands = operands[::-1] if swap else operands
    value, out = apply(op, *operands)
    np.testing.assert_array_equal(value, oracle(*(array for array, _ in operands)))
    assert out.batched
    assert value.shape == (images, *out.shape[1:])


@pytest.mark.parametrize(("op", "_", "name"), OPS)
def test_cost(op, _, name):
    operands = TensorSpec((1, 3, 4)), TensorSpec((4,), batched=False)
    assert op.count(operands, op.infer(operands)) == {Action(name, 32, 32): 12}


def spec(*shape, batched=True):
    return TensorSpec(shape, None, batched)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (spec(1, 3), spec(1, 4), "shapes must broadcast, got (B, 3) float and (B, 4) float; reshape one"),
        (spec(1, 3), spec(1, 1, 3), "both have a batch axis, got (B, 3) float and (B, 1, 3) float; reshape one"),
        (spec(1, 3), spec(4, 3), "both have a batch axis, got (B, 3) float and (4B, 3) float; reshape one"),
        (
            spec(1, 3),
            spec(2, 3, batched=False),
            "a constant has no batch: its leading axis must be 1, got (2, 3) float; reshape the other operand",
        ),
        (
            spec(1, 1, 3, batched=False),
            spec(1, 3),
            "a constant has no batch: its leading axis must be 1, got (1, 1, 3) float; reshape the other operand",
        ),
        (
            spec(1, 3),
            TensorSpec((3,), QuantSpec(8, True, (1.0,)), batched=False),
            "add takes floats, got (3) s8 per_tensor scale=1; dequantize its input first",
        ),
    ],
)
def test_illegal(a, b, text):
    with pytest.raises(IllegalModel) as caught:
        Add().infer((a, b))
    assert str(caught.value) == text
