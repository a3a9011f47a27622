"""Add: the sum of two floats (S8, a float island) or of codes of one scale (S10): biases, residuals, positions, masks.

S10: q = qa + qb where both have the same scale and zero point 0; the sum is exact, as wide as it may become, or saturates
at `bits`.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.memory import empty, inverse, memory_order
from hwsim.kernels.simd.saturating_add import saturating_add
from hwsim.op import Action, Array, Op, Specs
from hwsim.ops._broadcast import broadcast_spec, sum_spec
from hwsim.ops._rowviews import room_for
from hwsim.spec import FLOAT_BITS, IntegerSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Element by element with broadcasting; either operand may be a constant. `bits` (codes only): saturate at that
    width; 0 lets the sum grow."""

    bits: int = 0

    onnx = "Add"
    torch = ("aten.add", "aten.sum")

    def infer(self, inputs: Specs) -> TensorSpec:
        """The broadcast shape; for codes their common scale."""
        if all(spec.quant is not None for spec in inputs):
            return sum_spec(inputs, self.bits)
        return broadcast_spec(inputs, "add")

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64, or exactly in integers and then clamped."""
        if out.quant is None:
            a, b = values
            return np.add(a, b, out=room_for(values))
        if sum(max(spec.quant.qmax, -spec.quant.qmin) for spec in inputs if spec.quant) < 1 << 31:
            a, b = np.broadcast_arrays(*values)
            return _narrow(a, b, out.quant)
        total = np.add(*values, dtype=np.int64)
        return np.clip(total, out.quant.qmin, out.quant.qmax, out=total).astype(out.quant.container)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One per element."""
        if out.quant is None:
            return Counter({Action("add", FLOAT_BITS, FLOAT_BITS): out.elements})
        return Counter({Action("add", inputs[0].bits, inputs[1].bits): out.elements})


def _narrow(a: Array, b: Array, quant: IntegerSpec) -> Array:
    """The clamped sum of codes, which fits 32 bits, of arrays of one shape; axes in the order that `a` has in memory."""
    order = memory_order(a)
    shape = tuple(a.shape[axis] for axis in order)
    inner, place = 1, len(shape)  # the axes behind `place` lie side by side in both
    left, right = a.transpose(order), b.transpose(order)
    while place and all(v.strides[place - 1] == inner * v.itemsize for v in (left, right)):
        place -= 1
        inner *= shape[place]
    if inner == 1:
        left, right, inner, place = np.ascontiguousarray(left), np.ascontiguousarray(right), a.size, 0
    total = empty(shape, quant.container)
    rows = (-1, shape[place - 1] if place else 1, inner)
    saturating_add(left.reshape(rows), right.reshape(rows), quant.qmin, quant.qmax, total.reshape(rows))
    return total.transpose(inverse(order)) if order else total
