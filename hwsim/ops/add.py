"""Add: the sum of two floats (S8, a float island) or of codes of one scale (S10): biases, residuals, positions, masks.

S10: q = qa + qb where both have the same scale and zero point 0; the sum is exact, as wide as it may become, or saturates
at `bits`.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.op import Action, Array, Op, Specs
from hwsim.ops._broadcast import broadcast_spec, sum_spec
from hwsim.spec import FLOAT_BITS, TensorSpec


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Element by element with broadcasting; either operand may be a constant. `bits` (codes only): saturate at that
    width; 0 lets the sum grow."""

    bits: int = 0

    onnx = "Add"
    torch = ("aten.add",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The broadcast shape; for codes their common scale."""
        if all(spec.quant is not None for spec in inputs):
            return sum_spec(inputs, self.bits)
        return broadcast_spec(inputs, "add")

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64, or exactly in integers and then clamped."""
        if out.quant is None:
            return np.asarray(np.add(*values))
        total = np.add(*values, dtype=np.int64)
        return np.clip(total, out.quant.qmin, out.quant.qmax, out=total).astype(out.quant.container)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One per element."""
        if out.quant is None:
            return Counter({Action("add", FLOAT_BITS, FLOAT_BITS): out.elements})
        return Counter({Action("add", inputs[0].bits, inputs[1].bits): out.elements})
