"""Relu (S10): max(x, 0), of floats, or exactly of codes: max(q, zero_point), since scales are positive."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.memory import empty_like
from hwsim.op import Action, Array, Op, Specs, need
from hwsim.spec import QuantSpec, TensorSpec, along


@dataclass(frozen=True, slots=True)
class Relu(Op):
    """Element by element."""

    onnx = "Relu"
    torch = ("aten.relu",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape and the grid of x."""
        (x,) = inputs
        affine = x.quant is None or isinstance(x.quant, QuantSpec)
        need(affine, "relu takes floats or codes of an affine grid", x, "requantize it before")
        return x

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """In float64, or in codes."""
        (x,) = values
        dtype, least = np.dtype(np.float64), np.zeros(())
        if out.quant is not None:
            dtype = out.quant.container
            least = along(out.quant.zero_point, out.quant.axis, x.ndim, dtype.type)
        return np.asarray(np.maximum(x, least, out=empty_like(x, dtype)))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One comparison per element."""
        return Counter({Action("max", out.bits, out.bits): out.elements})
