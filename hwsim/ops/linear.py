"""Linear: acc (..., N) = x (..., K) times the transpose of weight (N, K), S3. The bias is an Add of its own."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.tier import Grid
from hwsim.op import Action, Array, Gemm, Multiply, Op, Specs, need
from hwsim.ops._product import grid, integer_product, operand, product_count, product_spec, real
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """Fully connected layer without its bias; weight scales per output channel (axis 0) stay outside the sum."""

    onnx = "MatMulInteger"
    torch = ("aten.linear",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """(..., K) and (N, K) give (..., N); int accumulator, or float where an operand is float."""
        x, weight = inputs
        need(len(weight.shape) == 2 and not weight.batched, "a weight is a constant (N, K)", weight, "use matmul")
        need(len(x.shape) > x.batched, "features need an axis of their own", x, "reshape it")
        need(x.shape[-1] == weight.shape[1], f"inputs must have {weight.shape[1]} features", x, "check the layer")
        last = len(x.shape) - 1
        return product_spec(
            x, weight, weight.shape[1], (*x.shape[:-1], weight.shape[0]), {i: i for i in range(last)}, {0: last}
        )

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """Rows of x against rows of weight."""
        x, weight = values
        if out.quant is None:
            # one layout, and one product per image: the order in which BLAS sums depends on both
            rows, columns = (np.ascontiguousarray(real(v, spec)) for v, spec in zip(values, inputs, strict=True))
            rows = rows.reshape(-1, inputs[0].shape[0], x.shape[-1]) if x.ndim == 2 else rows
            return np.asarray(np.matmul(rows, columns.T)).reshape(*x.shape[:-1], weight.shape[0])
        return integer_product(self, values, inputs)

    def product(self, values: tuple[Array, ...], inputs: Specs, multiply: Multiply, raw: bool = False) -> Array:
        """All rows in one product."""
        x, weight = (operand(value, spec, raw) for value, spec in zip(values, inputs, strict=True))
        acc = multiply(x.reshape(1, -1, x.shape[-1]), weight.T[np.newaxis])
        return acc.reshape(*x.shape[:-1], weight.shape[0])

    def grids(self, inputs: Specs) -> tuple[Grid | None, Grid | None]:
        """Zero points of weights may lie along the columns."""
        return grid(inputs[0]), grid(inputs[1], columns=0)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """MACs and zero-point corrections."""
        return product_count(self.gemm(inputs, out), *inputs)

    def gemm(self, inputs: Specs, out: TensorSpec) -> Gemm:
        """One product of all rows of an image."""
        x, weight = inputs
        return Gemm(1, math.prod(x.shape[:-1]), x.shape[-1], weight.shape[0], x.bits, weight.bits, b_static=True)
