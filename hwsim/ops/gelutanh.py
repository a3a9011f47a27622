"""GELU by tanh, float island: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).

Source: arXiv 1606.08415, section 2; what SigLIP was trained with, and PyTorch calls approximate="tanh". It differs from
the exact GELU (S7) by up to 5e-4, so it is an operator of its own.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.spec import FLOAT_BITS, TensorSpec

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715


@dataclass(frozen=True, slots=True)
class GeluTanh(Op):
    """Element by element."""

    onnx = "Gelu"
    torch = ("aten.gelu",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "gelutanh")
        return inputs[0]

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        x = np.ascontiguousarray(values[0], dtype=np.float64)
        return np.asarray(x * 0.5 * (1.0 + np.tanh(ROOT * (x + CUBIC * (x * x * x)))))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: tanh, six muls, two adds."""
        f, n = FLOAT_BITS, out.elements
        return Counter({Action("tanh", f, f): n, Action("mul", f, f): 6 * n, Action("add", f, f): 2 * n})
