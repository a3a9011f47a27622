import numpy as np
import pytest
import torch

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.rmsnorm import RmsNorm
from hwsim.spec import QuantSpec, TensorSpec


def test_equals_torch_over_the_last_axis(apply, floats):
    generator = np.random.default_rng(0)
    x = generator.normal(2, 3, (2, 3, 4, 48)).transpose(0, 2, 1, 3)  # not contiguous
    weight = generator.normal(size=48)
    value, _ = apply(RmsNorm(1e-3), floats(x), floats(weight, batched=False))
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in (x, weight)]
    wanted = torch.nn.functional.rms_norm(tensors[0], (48,), tensors[1], 1e-3).numpy()
    np.testing.assert_allclose(value, wanted, rtol=1e-13, atol=1e-14)


def test_illegal():
    x, c = TensorSpec((1, 3, 8)), TensorSpec((7,), batched=False)
    with pytest.raises(IllegalModel, match=r"^the weight must be \(8,\), got \(7\) float; check the layer$"):
        RmsNorm().infer((x, c))
    with pytest.raises(IllegalModel, match=r"^rmsnorm takes floats, got \(B, 8\) s8 .*; dequantize its input first$"):
        RmsNorm().infer((TensorSpec((1, 8), QuantSpec(8, True, (1.0,))), c))


def test_cost():
    x, c = TensorSpec((1, 3, 8)), TensorSpec((8,), batched=False)
    wanted = {"add": 24, "mul": 72, "div": 6, "sqrt": 3}
    assert RmsNorm().count((x, c), x) == {Action(kind, 32, 32): n for kind, n in wanted.items()}


@pytest.mark.parametrize("epsilon", [-1e-6, float("nan"), float("inf")])
def test_epsilon_is_a_finite_number(epsilon):
    with pytest.raises(
        ValueError, match=r"^rmsnorm: epsilon must be finite and not negative, got .*; check the layer$"
    ):
        RmsNorm(epsilon)
