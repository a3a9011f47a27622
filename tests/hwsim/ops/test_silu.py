import numpy as np
import pytest
import torch

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.silu import Silu
from hwsim.spec import QuantSpec, TensorSpec


def test_equals_torch(apply, floats):
    x = np.random.default_rng(0).normal(0, 8, (2, 5, 3, 7)).transpose(0, 2, 3, 1)  # not contiguous
    x[0, 0, 0] = -800.0, 800.0, 0.0, -0.0, 1e-300
    value, _ = apply(Silu(), floats(x))
    wanted = torch.nn.functional.silu(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    np.testing.assert_allclose(value, wanted, rtol=1e-15, atol=1e-300)


def test_codes_are_refused():
    with pytest.raises(IllegalModel, match=r"^silu takes floats, got \(B, 8\) s8 .*; dequantize its input first$"):
        Silu().infer((TensorSpec((1, 8), QuantSpec(8, True, (1.0,))),))


def test_cost():
    x = TensorSpec((1, 3, 8))
    assert Silu().count((x,), x) == {Action(kind, 32, 32): 24 for kind in ("exp", "add", "div")}
