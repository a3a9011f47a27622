"""Div: the quotient of two floats with broadcasting, float island: a row by its length."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs
from hwsim.ops._broadcast import broadcast_spec
from hwsim.ops._rowviews import room_for
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Div(Op):
    """Element by element; either operand may be a constant."""

    onnx = "Div"
    torch = ("aten.div",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The broadcast shape."""
        return broadcast_spec(inputs, "div")

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        a, b = values
        return np.divide(a, b, out=room_for(values))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One per element."""
        return Counter({Action("div", FLOAT_BITS, FLOAT_BITS): out.elements})
