import numpy as np

from hwsim.op import Action
from hwsim.ops.div import Div
from hwsim.spec import TensorSpec


def test_rows_by_their_length(apply, floats):
    generator = np.random.default_rng(0)
    x, length = generator.normal(size=(2, 3, 8)), generator.uniform(1, 2, (2, 3, 1))
    value, out = apply(Div(), floats(x), floats(length))
    np.testing.assert_array_equal(value, x / length)
    assert out.shape == (1, 3, 8)


def test_a_constant_may_be_either_operand(apply, floats):
    x, c = np.full((2, 4), 8.0), np.array([1.0, 2.0, 4.0, 16.0])
    assert apply(Div(), floats(x), floats(c, batched=False))[0].tolist() == [[8.0, 4.0, 2.0, 0.5]] * 2
    assert apply(Div(), floats(c, batched=False), floats(x))[0].tolist() == [[0.125, 0.25, 0.5, 2.0]] * 2


def test_cost():
    x, length = TensorSpec((1, 3, 8)), TensorSpec((1, 3, 1))
    assert Div().count((x, length), x) == {Action("div", 32, 32): 24}
