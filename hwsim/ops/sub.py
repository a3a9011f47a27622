"""Sub: the difference of two floats with broadcasting, float island: one attention map off another."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs
from hwsim.ops._broadcast import broadcast_spec
from hwsim.ops._rowviews import room_for
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Sub(Op):
    """Element by element; either operand may be a constant."""

    onnx = "Sub"
    torch = ("aten.sub",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The broadcast shape."""
        return broadcast_spec(inputs, "sub")

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        a, b = values
        return np.subtract(a, b, out=room_for(values))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One addition per element."""
        return Counter({Action("add", FLOAT_BITS, FLOAT_BITS): out.elements})
