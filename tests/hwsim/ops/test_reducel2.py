import numpy as np
import pytest
import torch

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.reducel2 import ReduceL2
from hwsim.spec import QuantSpec, TensorSpec


def test_equals_torch_over_the_last_axis(apply, floats):
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 7)).transpose(0, 2, 3, 1)  # not contiguous
    value, out = apply(ReduceL2(), floats(x))
    wanted = torch.linalg.vector_norm(torch.from_numpy(np.ascontiguousarray(x)), dim=-1, keepdim=True).numpy()
    np.testing.assert_allclose(value, wanted, rtol=1e-14)
    assert out.shape == (1, 3, 7, 1)


def test_codes_are_refused():
    with pytest.raises(IllegalModel, match=r"^reducel2 takes floats, got \(B, 8\) s8 .*; dequantize its input first$"):
        ReduceL2().infer((TensorSpec((1, 8), QuantSpec(8, True, (1.0,))),))


def test_cost():
    x = TensorSpec((1, 3, 8))
    wanted = {"mul": 24, "add": 24, "sqrt": 3}
    assert ReduceL2().count((x,), ReduceL2().infer((x,))) == {Action(k, 32, 32): n for k, n in wanted.items()}
