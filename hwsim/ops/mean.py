"""Mean over axes: global average pooling; in float64 (a float island), or exactly on codes (S10).

S10: of n codes with zero point 0 the sum is kept, and the division moves into the label: its scale is scale / n.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need, need_axes
from hwsim.spec import FLOAT_BITS, MAX_BITS, QuantSpec, TensorSpec, signed_bits


@dataclass(frozen=True, slots=True)
class Mean(Op):
    """Over `axes`, which disappear, or stay with size 1 where `keep`."""

    axes: tuple[int, ...]
    keep: bool = False

    onnx = "ReduceMean"
    torch = ("aten.mean", "aten.adaptive_avg_pool2d")

    def infer(self, inputs: Specs) -> TensorSpec:
        """The other axes; for codes as many bits as their sum may need."""
        (x,) = inputs
        need_axes(self.axes, x)
        need(not (x.batched and 0 in self.axes), "the batch is not averaged", self.axes, "choose other axes")
        sizes = (
            (1,) if i in self.axes and self.keep else () if i in self.axes else (n,) for i, n in enumerate(x.shape)
        )
        return TensorSpec(tuple(n for size in sizes for n in size), self._sum_grid(x), x.batched)

    def _sum_grid(self, x: TensorSpec) -> QuantSpec | None:
        if x.quant is None:
            return None
        affine = isinstance(x.quant, QuantSpec) and not any(x.quant.zero_point)
        need(affine, "a mean of codes takes affine ones with zero_point 0", x, "requantize it before")
        need(x.quant.axis not in self.axes, "codes that are summed have one scale", x, "requantize it per tensor")
        assert isinstance(x.quant, QuantSpec)
        terms = math.prod(x.shape[axis] for axis in self.axes)
        bits = signed_bits(terms * x.quant.qmin, terms * x.quant.qmax)
        need(bits <= MAX_BITS, f"the sum needs {bits} bits", MAX_BITS, "lower the bits of the operand")
        axis = x.quant.axis
        if axis is not None and not self.keep:
            axis -= sum(a < axis for a in self.axes)
        scale = tuple(value / terms for value in x.quant.scale)
        return QuantSpec(bits, True, scale, (0,) * len(scale), axis)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """The mean in float64, or the sum of codes."""
        if out.quant is None:
            x = np.ascontiguousarray(values[0])  # NumPy sums in the order of memory
            return np.asarray(x.mean(axis=self.axes, keepdims=self.keep))
        total = values[0].sum(axis=self.axes, keepdims=self.keep, dtype=np.int64)
        return np.asarray(total.astype(out.quant.container))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One add per element, one div per result; on codes the division is in the scale."""
        total = inputs[0].elements
        assert total % math.prod(out.shape) == 0
        if out.quant is not None:
            return Counter({Action("add", inputs[0].bits, out.bits): total})
        f = FLOAT_BITS
        return Counter({Action("add", f, f): total, Action("div", f, f): out.elements})
