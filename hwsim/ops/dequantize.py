"""Dequantize (S1): real = scale * (q - zero_point), from codes or accumulators to floats: the door of a float island."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.float_codes import dequantize, dequantize_columns
from hwsim.op import Action, Array, Op, Specs, need
from hwsim.ops._rowviews import by_grid
from hwsim.spec import FLOAT_BITS, ShiftSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Dequantize(Op):
    """The reals that the codes stand for."""

    onnx = "DequantizeLinear"

    def infer(self, inputs: Specs) -> TensorSpec:
        """A float of the same shape."""
        (x,) = inputs
        need(x.quant is not None, "dequantize takes codes", x, "remove it")
        return TensorSpec(x.shape, None, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S1 in float64."""
        quant = inputs[0].quant
        assert quant is not None
        if isinstance(quant, ShiftSpec):
            return quant.to_real(values[0])
        q, columns = by_grid(values[0], quant.axis)
        rows, result = q.like("float64")
        scale, zero = np.asarray(quant.scale, dtype=np.float64), np.asarray(quant.zero_point, dtype=np.int64)
        (dequantize_columns if columns else dequantize)(q.rows, scale, zero, rows)
        return result

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One dequantize per element."""
        return Counter({Action("dequantize", inputs[0].bits, FLOAT_BITS): out.elements})
