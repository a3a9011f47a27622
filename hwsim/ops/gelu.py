"""GELU (S7), float island, the exact form: x / 2 * (1 + erf(x / sqrt(2)))."""

from collections import Counter
from dataclasses import dataclass

from hwsim.kernels.elementwise import gelu
from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.ops._rowviews import by_grid, real
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
        x, _ = by_grid(real(values[0]), None)
        rows, result = x.like("float64")
        gelu(x.rows, rows)
        return result

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: erf, three muls, one add."""
        f = FLOAT_BITS
        n = out.elements
        return Counter({Action("erf", f, f): n, Action("mul", f, f): 3 * n, Action("add", f, f): n})
