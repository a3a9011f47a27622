import numpy as np
import pytest
import torch

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.layernorm import LayerNorm
from hwsim.spec import QuantSpec, TensorSpec


def test_equals_torch_over_the_last_axis(apply, floats):
    generator = np.random.default_rng(0)
    x = generator.normal(2, 3, (2, 3, 4, 48)).transpose(0, 2, 1, 3)  # not contiguous
    weight, bias = generator.normal(size=(2, 48))
    value, _ = apply(LayerNorm(1e-6), floats(x), floats(weight, batched=False), floats(bias, batched=False))
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in (x, weight, bias)]
    wanted = torch.nn.functional.layer_norm(tensors[0], (48,), *tensors[1:], 1e-6).numpy()
    np.testing.assert_allclose(value, wanted, rtol=1e-13, atol=1e-14)


def test_sigma_zero_gives_the_bias(apply, floats):
    x = floats(np.full((2, 3, 8), 7.25))
    value, _ = apply(LayerNorm(), x, floats(np.ones(8) * 3, batched=False), floats(np.arange(8.0), batched=False))
    assert (value == np.arange(8.0)).all()


def test_illegal():
    x, c = TensorSpec((1, 3, 8)), TensorSpec((7,), batched=False)
    with pytest.raises(IllegalModel, match=r"^weight and bias must be \(8,\), got \(7\) float; check the layer$"):
        LayerNorm().infer((x, c, c))
    with pytest.raises(
        IllegalModel, match=r"^layernorm takes floats, got \(B, 8\) s8 per_tensor scale=1; dequantize its"
    ):
        LayerNorm().infer((TensorSpec((1, 8), QuantSpec(8, True, (1.0,))), c, c))


def test_cost():
    x, c = TensorSpec((1, 3, 8)), TensorSpec((8,), batched=False)
    wanted = {"add": 96, "mul": 72, "div": 9, "sqrt": 3}
    assert LayerNorm().count((x, c, c), x) == {Action(kind, 32, 32): n for kind, n in wanted.items()}


@pytest.mark.parametrize("epsilon", [-1e-6, float("nan"), float("inf")])
def test_epsilon_is_a_finite_number(epsilon):
    with pytest.raises(
        ValueError, match=r"^layernorm: epsilon must be finite and not negative, got .*; check the layer$"
    ):
        LayerNorm(epsilon)
