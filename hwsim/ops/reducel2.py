"""ReduceL2, float island: the Euclidean length of each row, sqrt(sum(x^2)), as in the cosine attention of Swin V2."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class ReduceL2(Op):
    """Of the last axis, which stays with size 1: (..., C) to (..., 1)."""

    onnx = "ReduceL2"
    torch = ("aten.linalg_vector_norm",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """One value per row."""
        need_float(inputs, "reducel2")
        (x,) = inputs
        return TensorSpec((*x.shape[:-1], 1), None, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        x = np.ascontiguousarray(values[0], dtype=np.float64)  # NumPy sums in the order of memory
        return np.asarray(np.sqrt(np.square(x).sum(axis=-1, keepdims=True)))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: a square (mul) and its sum (add). Per row: a square root."""
        f, n = FLOAT_BITS, inputs[0].elements
        return Counter({Action("mul", f, f): n, Action("add", f, f): n, Action("sqrt", f, f): out.elements})
