"""Mul (S8): the product of two floats with broadcasting, float island: the scores' 1 / sqrt(d)."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs
from hwsim.ops._broadcast import broadcast_spec
from hwsim.ops._rowviews import room_for
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Mul(Op):
    """Element by element; either operand may be a constant."""

    onnx = "Mul"
    torch = ("aten.mul", "aten.neg")

    def infer(self, inputs: Specs) -> TensorSpec:
        """The broadcast shape."""
        return broadcast_spec(inputs, "mul")

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        a, b = values
        return np.multiply(a, b, out=room_for(values))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One per element."""
        return Counter({Action("mul", FLOAT_BITS, FLOAT_BITS): out.elements})
