import numpy as np
import pytest

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.clip import Clip
from hwsim.spec import QuantSpec, TensorSpec


def test_from_below(apply, floats):
    x = np.array([[-np.inf, -1.0, 0.0, 1e-13, 1e-12, 3.0]])
    assert apply(Clip(1e-12), floats(x))[0].tolist() == [[1e-12, 1e-12, 1e-12, 1e-12, 1e-12, 3.0]]


def test_from_above_and_on_both_sides(apply, floats):
    """As np.clip; where the bounds cross, the upper one wins."""
    x = np.array([[-np.inf, -1.0, 0.0, 5.5, 6.0, 7.0]])
    for bounds in ((None, 6.0), (0.0, 6.0), (2.0, 1.0)):
        np.testing.assert_array_equal(apply(Clip(*bounds), floats(x))[0], np.clip(x, *bounds))
    assert apply(Clip(), floats(x))[0].tolist() == x.tolist()


def test_codes_are_refused():
    with pytest.raises(IllegalModel, match=r"^clip takes floats, got \(B, 8\) s8 .*; dequantize its input first$"):
        Clip(0.0).infer((TensorSpec((1, 8), QuantSpec(8, True, (1.0,))),))


@pytest.mark.parametrize("least", [float("nan"), float("-inf")])
def test_the_bound_is_a_finite_number(least):
    with pytest.raises(ValueError, match=r"^clip: least must be finite, got .*; check the layer$"):
        Clip(least)
    with pytest.raises(ValueError, match=r"^clip: most must be finite, got .*; check the layer$"):
        Clip(0.0, least)


def test_cost():
    x = TensorSpec((1, 3, 8))
    assert Clip(0.0).count((x,), x) == {Action("max", 32, 32): 24}
    assert Clip(0.0, 6.0).count((x,), x) == {Action("max", 32, 32): 48}
