import numpy as np
import torch

from hwsim.op import Action
from hwsim.ops.gelu import Gelu
from hwsim.spec import TensorSpec


def test_equals_torch(apply, floats):
    x = np.random.default_rng(0).normal(0, 5, (2, 3, 8)).swapaxes(1, 2)
    value, _ = apply(Gelu(), floats(x))
    wanted = torch.nn.functional.gelu(torch.from_numpy(x)).numpy()
    assert (np.abs(value - wanted) <= 4e-16 * np.abs(x)).all()


def test_cost():
    x = TensorSpec((1, 3, 8))
    assert Gelu().count((x,), x) == {Action(k, 32, 32): n for k, n in {"erf": 24, "mul": 72, "add": 24}.items()}
