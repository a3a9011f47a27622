"""What norms on floats share (S5): a legal epsilon, and a gain and a shift of the shape of what is normalised."""

import math

from hwsim.op import need
from hwsim.spec import TensorSpec


def check_epsilon(name: str, epsilon: float) -> None:
    """Raise ValueError unless `epsilon` is finite and not negative."""
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"{name}: epsilon must be finite and not negative, got {epsilon}; check the layer")


def need_affine(weight: TensorSpec, bias: TensorSpec, shape: tuple[int, ...]) -> None:
    """Raise IllegalModel unless both have this shape."""
    wrong = weight if weight.shape != shape else bias
    need(weight.shape == bias.shape == shape, f"weight and bias must be {shape}", wrong, "check the layer")
