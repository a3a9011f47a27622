import numpy as np
import pytest
import torch

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.gelu import Gelu
from hwsim.ops.gelutanh import GeluTanh
from hwsim.spec import QuantSpec, TensorSpec


def test_equals_torch(apply, floats):
    x = np.random.default_rng(0).normal(0, 4, (2, 5, 3, 7)).transpose(0, 2, 3, 1)  # not contiguous
    value, _ = apply(GeluTanh(), floats(x))
    wanted = torch.nn.functional.gelu(torch.from_numpy(np.ascontiguousarray(x)), approximate="tanh").numpy()
    np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-15)


def test_distance_from_the_exact_one(apply, floats):
    x = floats(np.linspace(-6, 6, 100001)[np.newaxis])
    distance = np.abs(apply(GeluTanh(), x)[0] - apply(Gelu(), x)[0]).max()
    assert 4e-4 < distance < 5e-4


def test_codes_are_refused():
    with pytest.raises(IllegalModel, match=r"^gelutanh takes floats, got \(B, 8\) s8 .*; dequantize its input first$"):
        GeluTanh().infer((TensorSpec((1, 8), QuantSpec(8, True, (1.0,))),))


def test_cost():
    x = TensorSpec((1, 3, 8))
    assert GeluTanh().count((x,), x) == {
        Action(kind, 32, 32): n for kind, n in {"tanh": 24, "mul": 144, "add": 48}.items()
    }
