import numpy as np
import torch

from hwsim.op import Action
from hwsim.ops.softmax import Softmax
from hwsim.spec import TensorSpec


def test_equals_torch_over_the_last_axis(apply, floats):
    x = np.random.default_rng(0).normal(0, 5, (2, 3, 7, 9)).swapaxes(2, 3)
    x[0, 0, 0] = -1e30  # a masked row: all large and negative
    x[0, 0, 1, 1:] = -100.0
    value, _ = apply(Softmax(), floats(x))
    np.testing.assert_allclose(value, torch.softmax(torch.from_numpy(x), -1).numpy(), rtol=1e-14, atol=1e-300)
    assert (value[0, 0, 0] == 1 / 7).all()


def test_cost():
    x = TensorSpec((1, 3, 8))
    wanted = {"max": 24, "add": 48, "exp": 24, "div": 24}
    assert Softmax().count((x,), x) == {Action(kind, 32, 32): n for kind, n in wanted.items()}
