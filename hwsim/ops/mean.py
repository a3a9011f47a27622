"""Mean over axes, float island: global average pooling."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need, need_axes, need_float
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Mean(Op):
    """Over `axes`, which disappear, or stay with size 1 where `keep`."""

    axes: tuple[int, ...]
    keep: bool = False

    onnx = "ReduceMean"
    torch = ("aten.mean",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The other axes."""
        need_float(inputs, "mean")
        (x,) = inputs
        need_axes(self.axes, x)
        need(not (x.batched and 0 in self.axes), "the batch is not averaged", self.axes, "choose other axes")
        sizes = (
            (1,) if i in self.axes and self.keep else () if i in self.axes else (n,) for i, n in enumerate(x.shape)
        )
        return x.shaped(tuple(n for size in sizes for n in size))

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64."""
        return np.asarray(values[0].mean(axis=self.axes, keepdims=self.keep))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One add per element, one div per result."""
        f = FLOAT_BITS
        total = inputs[0].elements
        assert total % math.prod(out.shape) == 0
        return Counter({Action("add", f, f): total, Action("div", f, f): out.elements})
