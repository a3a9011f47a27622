import numpy as np
import pytest

from hwsim.errors import IllegalModel
from hwsim.ops.concat import Concat
from hwsim.spec import QuantSpec, TensorSpec

GRID = QuantSpec(4, False, (0.5,), (3,))


def test_a_constant_token_stands_before_every_image(apply, floats):
    token, x = np.arange(5.0).reshape(1, 1, 5), np.random.default_rng(0).normal(size=(3, 4, 5))
    value, out = apply(Concat(1), floats(token, batched=False), floats(x))
    assert (out.shape, out.batched) == ((1, 5, 5), True)
    np.testing.assert_array_equal(value, np.concatenate([np.repeat(token, 3, 0), x], 1))


@pytest.mark.parametrize("axis", [1, 2])
def test_codes(draw, apply, axis):
    parts = [np.random.default_rng(i).integers(0, 16, (2, 3, 3)).astype(np.uint8) for i in range(3)]
    value, out = apply(Concat(axis), *((part, TensorSpec((1, 3, 3), GRID)) for part in parts))
    np.testing.assert_array_equal(value, np.concatenate(parts, axis))
    assert (out.quant, value.dtype) == (GRID, np.uint8)


def test_constants_alone(apply, floats):
    """They have no batch: the leading axis is one like the others."""
    parts = np.ones((2, 3)), np.zeros((1, 3))
    value, out = apply(Concat(0), *(floats(part, batched=False) for part in parts))
    np.testing.assert_array_equal(value, np.concatenate(parts))
    assert out.shape == (3, 3)


def spec(*shape, quant=None, batched=True):
    return TensorSpec(shape, quant, batched)


@pytest.mark.parametrize(
    ("axis", "inputs", "text"),
    [
        (1, (), "one input or more is needed, got 0; name one"),
        (
            1,
            (spec(1, 2, 3), spec(1, 2, 4)),
            "all sizes but one must agree, got (B, 2, 3) float and (B, 2, 4) float; reshape one",
        ),
        (
            1,
            (spec(1, 2), spec(1, 2, quant=GRID)),
            "one format is needed, got (B, 2) float and (B, 2) u4 per_tensor scale=0.5 zero_point=3; dequantize them",
        ),
        (0, (spec(1, 2), spec(1, 2)), "the batch is not concatenated, got 0; choose another axis"),
        (2, (spec(1, 2), spec(1, 2)), "an axis is 0..1, got 2; count axes from the front"),
        (-1, (spec(1, 2), spec(1, 2)), "an axis is 0..1, got -1; count axes from the front"),
        (
            1,
            (spec(2, 2, batched=False), spec(2, 2)),
            "a constant has no batch: its leading axis must be 1, got (2, 2) float; reshape it",
        ),
        (
            1,
            (spec(1, 2, 3, quant=QuantSpec(4, True, (1.0, 1.0), (0, 0), 1)),),
            "codes have one scale along the joined axis, got (B, 2, 3) s4 per_channel(axis=1, n=2); quantize per tensor",
        ),
    ],
)
def test_illegal(axis, inputs, text):
    with pytest.raises(IllegalModel) as caught:
        Concat(axis).infer(inputs)
    assert str(caught.value) == text
