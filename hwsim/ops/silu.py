"""SiLU, float island: x * sigmoid(x), the gate of SwiGLU. Source: arXiv 1606.08415, section 4; arXiv 2002.05202."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.ops._logistic import logistic
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Silu(Op):
    """Element by element."""

    onnx = "Swish"
    torch = ("aten.silu",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "silu")
        return inputs[0]

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        return np.asarray(values[0] * logistic(values[0]))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: exp, add, div (x divided by 1 + exp(-x))."""
        f, n = FLOAT_BITS, out.elements
        return Counter({Action("exp", f, f): n, Action("add", f, f): n, Action("div", f, f): n})
