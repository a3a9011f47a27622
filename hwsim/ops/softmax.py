"""Softmax (S6) over the last axis, float island: exp(x - max) / sum of them."""

from collections import Counter
from dataclasses import dataclass

from hwsim.kernels.elementwise import softmax
from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.ops._rowviews import by_last, real
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Softmax(Op):
    """Input x (..., N); rows of the result sum to 1."""

    onnx = "Softmax"
    torch = ("aten.softmax",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "softmax")
        return inputs[0]

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S6 in float64."""
        x = by_last(real(values[0]))
        rows, result = x.like("float64")
        softmax(x.rows, rows)
        return result

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: running maximum, its subtraction and the sum (adds), exp, division."""
        f = FLOAT_BITS
        return Counter(
            {
                Action("max", f, f): out.elements,
                Action("add", f, f): 2 * out.elements,
                Action("exp", f, f): out.elements,
                Action("div", f, f): out.elements,
            }
        )
