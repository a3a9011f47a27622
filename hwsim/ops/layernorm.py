"""LayerNorm (S5) over the last axis, float island: (x - mean) / sqrt(variance + epsilon) * weight + bias."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.elementwise import layernorm
from hwsim.op import Action, Array, Op, Specs, need_float
from hwsim.ops._floatnorm import check_epsilon, need_affine
from hwsim.ops._rowviews import by_last, real
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class LayerNorm(Op):
    """Inputs: x (..., C), weight (C,), bias (C,)."""

    epsilon: float = 1e-5

    onnx = "LayerNormalization"
    torch = ("aten.layer_norm",)

    def __post_init__(self) -> None:
        check_epsilon("layernorm", self.epsilon)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "layernorm")
        x, weight, bias = inputs
        need_affine(weight, bias, x.shape[-1:])
        return x

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S5 in float64."""
        weight, bias = (np.ascontiguousarray(value, dtype=np.float64) for value in values[1:])
        x = by_last(real(values[0]))
        rows, result = x.like("float64")
        layernorm(x.rows, weight, bias, self.epsilon, rows)
        return result

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: sum, centre, sum of squares, shift (adds); square, normalise, gain (muls). Per row: two means
        and a reciprocal (divs), a square root."""
        rows = math.prod(out.shape[:-1])
        f = FLOAT_BITS
        return Counter(
            {
                Action("add", f, f): 4 * out.elements,
                Action("mul", f, f): 3 * out.elements,
                Action("div", f, f): 3 * rows,
                Action("sqrt", f, f): rows,
            }
        )
