"""Sigmoid, float island: 1 / (1 + exp(-x)), as in gates and in the quick GELU, x * sigmoid(1.702 x)."""

from collections import Counter
from dataclasses import dataclass

from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.ops._logistic import logistic
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Sigmoid(Op):
    """Element by element."""

    onnx = "Sigmoid"
    torch = ("aten.sigmoid",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "sigmoid")
        return inputs[0]

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        return logistic(values[0])

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: exp, add, div."""
        f, n = FLOAT_BITS, out.elements
        return Counter({Action("exp", f, f): n, Action("add", f, f): n, Action("div", f, f): n})
