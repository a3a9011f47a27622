"""Matrix product of two activations, as in QK^T and AV: (..., M, K) times (..., K, N), S3 with run-time row and column
sums where zero points are not zero."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from hwsim.kernels.tier import Grid
from hwsim.op import Action, Array, Gemm, Multiply, Op, Specs, need
from hwsim.ops._product import grid, integer_product, operand, product_count, product_spec, real
from hwsim.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class MatMul(Op):
    """Batched product; scales may lie along a leading axis (per head), never along the summed one."""

    onnx = "MatMulInteger"
    torch = ("aten.matmul",)

    def infer(self, inputs: Specs) -> TensorSpec:
        """(..., M, K) and (..., K, N) with equal leading axes give (..., M, N)."""
        a, b = inputs
        rank = len(a.shape)
        need(
            rank == len(b.shape) >= 2 and a.shape[:-2] == b.shape[:-2],
            "leading axes must agree",
            f"{a} and {b}",
            "reshape one",
        )
        need(a.shape[-1] == b.shape[-2], f"the summed axes must agree, {a.shape[-1]} here", b, "transpose one")
        need(
            not (a.batched or b.batched) or rank > 2, "the batch must be a leading axis", f"{a} and {b}", "reshape one"
        )
        lone = a.batched == b.batched or a.shape[0] == 1
        need(lone, "a constant has no batch: its leading axis must be 1", f"{a} and {b}", "reshape the other operand")
        leading = {i: i for i in range(rank - 2)}
        return product_spec(
            a,
            b,
            a.shape[-1],
            (*a.shape[:-1], b.shape[-1]),
            {**leading, rank - 2: rank - 2},
            {**leading, rank - 1: rank - 1},
        )

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """One product per leading index."""
        if out.quant is None:
            a, b = (np.ascontiguousarray(real(v, spec)) for v, spec in zip(values, inputs, strict=True))
            return np.asarray(np.matmul(a, b))  # BLAS sums in an order that depends on the layout
        return integer_product(self, values, inputs)

    def product(self, values: tuple[Array, ...], inputs: Specs, multiply: Multiply, raw: bool = False) -> Array:
        """The leading axes as two: heads, and all before them, so that operands stay where they are."""
        a, b = (operand(value, spec, raw) for value, spec in zip(values, inputs, strict=True))
        leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])  # a constant serves every image
        heads = leading[-1] if leading else 1
        left, right = (np.broadcast_to(x, (*leading, *x.shape[-2:])).reshape(-1, heads, *x.shape[-2:]) for x in (a, b))
        return multiply(left, right).reshape(*leading, a.shape[-2], b.shape[-1])

    def grids(self, inputs: Specs) -> tuple[Grid | None, Grid | None]:
        """Zero points may lie along the last of the leading axes (heads), or along the columns."""
        last = len(inputs[0].shape) - 1
        return grid(inputs[0], groups=last - 2), grid(inputs[1], groups=last - 2, columns=last)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """MACs and zero-point corrections."""
        return product_count(self.gemm(inputs, out), *inputs)

    def gemm(self, inputs: Specs, out: TensorSpec) -> Gemm:
        """One product per head (and window)."""
        a, b = inputs
        return Gemm(
            math.prod(a.shape[:-2]), a.shape[-2], a.shape[-1], b.shape[-1], a.bits, b.bits, b_static=not b.batched
        )
