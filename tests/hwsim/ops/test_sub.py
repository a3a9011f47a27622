import numpy as np

from hwsim.op import Action
from hwsim.ops.sub import Sub
from hwsim.spec import TensorSpec


def test_broadcasts(apply, floats):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 3, 8)), generator.normal(size=(2, 3, 1))
    value, out = apply(Sub(), floats(x), floats(y))
    np.testing.assert_array_equal(value, x - y)
    assert out.shape == (1, 3, 8)


def test_a_constant_may_be_either_operand(apply, floats):
    x, c = np.full((2, 3), 8.0), np.array([1.0, 2.0, 16.0])
    assert apply(Sub(), floats(x), floats(c, batched=False))[0].tolist() == [[7.0, 6.0, -8.0]] * 2
    assert apply(Sub(), floats(c, batched=False), floats(x))[0].tolist() == [[-7.0, -6.0, 8.0]] * 2


def test_cost():
    x, y = TensorSpec((1, 3, 8)), TensorSpec((1, 3, 1))
    assert Sub().count((x, y), x) == {Action("add", 32, 32): 24}
