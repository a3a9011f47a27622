import numpy as np
import pytest
import torch

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.sigmoid import Sigmoid
from hwsim.spec import QuantSpec, TensorSpec


def test_equals_torch(apply, floats):
    x = np.random.default_rng(0).normal(0, 8, (2, 5, 3, 7)).transpose(0, 2, 3, 1)  # not contiguous
    value, _ = apply(Sigmoid(), floats(x))
    np.testing.assert_allclose(value, torch.sigmoid(torch.from_numpy(np.ascontiguousarray(x))).numpy(), rtol=4e-16)


def test_ends_do_not_overflow(apply, floats):
    value, _ = apply(Sigmoid(), floats(np.array([[-1e4, -745.0, 0.0, 745.0, 1e4]])))
    assert value.tolist() == [[0.0, np.exp(-745.0), 0.5, 1.0, 1.0]]


def test_codes_are_refused():
    with pytest.raises(IllegalModel, match=r"^sigmoid takes floats, got \(B, 8\) s8 .*; dequantize its input first$"):
        Sigmoid().infer((TensorSpec((1, 8), QuantSpec(8, True, (1.0,))),))


def test_cost():
    x = TensorSpec((1, 3, 8))
    assert Sigmoid().count((x,), x) == {Action(kind, 32, 32): 24 for kind in ("exp", "add", "div")}
