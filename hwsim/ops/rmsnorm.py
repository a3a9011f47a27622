"""RMSNorm over the last axis, float island: x / sqrt(mean(x^2) + epsilon) * weight. Source: arXiv 1910.07467, eq. 4."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need, need_float
from hwsim.ops._floatnorm import check_epsilon
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class RmsNorm(Op):
    """Inputs: x (..., C), weight (C,)."""

    epsilon: float = 1e-6

    onnx = "RMSNormalization"
    torch = ("aten.rms_norm",)

    def __post_init__(self) -> None:
        check_epsilon("rmsnorm", self.epsilon)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "rmsnorm")
        x, weight = inputs
        need(weight.shape == x.shape[-1:], f"the weight must be {x.shape[-1:]}", weight, "check the layer")
        return x

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        x, weight = np.ascontiguousarray(values[0], dtype=np.float64), values[1]  # NumPy sums in the order of memory
        return np.asarray(x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self.epsilon) * weight)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: sum of squares (add); square, normalise, gain (muls). Per row: the mean and a reciprocal (divs), a
        square root."""
        rows, f = math.prod(out.shape[:-1]), FLOAT_BITS
        return Counter(
            {
                Action("add", f, f): out.elements,
                Action("mul", f, f): 3 * out.elements,
                Action("div", f, f): 2 * rows,
                Action("sqrt", f, f): rows,
            }
        )
