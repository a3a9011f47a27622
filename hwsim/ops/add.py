"""Add (S8): the sum of two floats with broadcasting, float island: biases, residuals, positions, masks."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs
from hwsim.ops._broadcast import broadcast_spec
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Element by element; either operand may be a constant."""

    onnx = "Add"
    torch = ("aten.add",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The broadcast shape."""
        return broadcast_spec(inputs, "add")

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        return np.asarray(np.add(*values))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One per element."""
        return Counter({Action("add", FLOAT_BITS, FLOAT_BITS): out.elements})
