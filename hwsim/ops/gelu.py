"""GELU (S7), float island, the exact form: x / 2 * (1 + erf(x / sqrt(2)))."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.elementwise import gelu
from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Gelu(Op):
    """Element by element."""

    onnx = "Gelu"
    torch = ("aten.gelu",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "gelu")
        return inputs[0]

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S7 in float64."""
        x = np.ascontiguousarray(values[0], dtype=np.float64)
        result = np.empty_like(x)
        gelu(x.reshape(-1), result.reshape(-1))
        return result

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: erf, three muls, one add."""
        f = FLOAT_BITS
        n = out.elements
        return Counter({Action("erf", f, f): n, Action("mul", f, f): 3 * n, Action("add", f, f): n})
