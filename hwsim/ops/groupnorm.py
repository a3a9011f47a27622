"""GroupNorm (S5), float island: LayerNorm over the channels of each group and all places of an image (B, C, ...), then a
weight and a bias per channel."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.elementwise import layernorm
from hwsim.kernels.memory import empty
from hwsim.op import Action, Array, Op, Specs, need, need_float
from hwsim.ops._floatnorm import check_epsilon, need_affine
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class GroupNorm(Op):
    """Inputs: x (B, C, ...), weight (C,), bias (C,). Group i of `groups` has the channels i C / groups onwards."""

    groups: int
    epsilon: float = 1e-5

    onnx = "GroupNormalization"
    torch = ("aten.group_norm",)

    def __post_init__(self) -> None:
        check_epsilon("groupnorm", self.epsilon)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x."""
        need_float(inputs, "groupnorm")
        x, weight, bias = inputs
        need(len(x.shape) >= 2, "groupnorm takes a batch and channels", x, "reshape before")
        need_affine(weight, bias, x.shape[1:2])
        divides = self.groups > 0 and x.shape[1] % self.groups == 0
        need(divides, f"groups must divide {x.shape[1]} channels", self.groups, "check the layer")
        return x

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S5 in float64, each group of each image as a row."""
        x = np.ascontiguousarray(values[0], dtype=np.float64)
        rows = x.reshape(len(x), self.groups, -1)
        ones = np.ones(rows.shape[-1])
        result = empty(rows.shape, np.float64)
        layernorm(rows, ones, np.zeros_like(ones), self.epsilon, result)
        weight, bias = (np.reshape(value, (-1, *(1,) * (x.ndim - 2))) for value in values[1:])
        normed = result.reshape(x.shape)
        normed *= weight
        normed += bias
        return normed

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """As LayerNorm: four adds and three muls per element; per group three divs and a square root."""
        rows = out.shape[0] * self.groups
        f = FLOAT_BITS
        return Counter(
            {
                Action("add", f, f): 4 * out.elements,
                Action("mul", f, f): 3 * out.elements,
                Action("div", f, f): 3 * rows,
                Action("sqrt", f, f): rows,
            }
        )
