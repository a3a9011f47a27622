"""Float islands in float64, row by row: layernorm, softmax, gelu (S5 to S7). No fastmath: sums have one order (float_rows).

Rows are the last axis of (O, M, C) arrays and are contiguous; the other axes may have any strides.
"""

import math

import numpy as np
import numpy.typing as npt

from hwsim.kernels.float_erf import erf
from hwsim.kernels.float_exp import exp
from hwsim.kernels.kernel import inline_kernel, kernel
from hwsim.kernels.simd.float_rows import contiguous, row_max, row_squares, row_sum

Float64 = npt.NDArray[np.float64]


def _layernorm_row(x: Float64, weight: Float64, bias: Float64, epsilon: float, out: Float64) -> None:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias, with the biased variance."""
    columns = x.shape[0]
    mean = row_sum(x) / columns
    inverse = 1.0 / math.sqrt(row_squares(x, mean) / columns + epsilon)
    for c in range(columns):
        out[c] = (x[c] - mean) * inverse * weight[c] + bias[c]


def _softmax_row(x: Float64, out: Float64) -> None:
    """exp(x - max) / sum."""
    top = row_max(x)
    for c in range(x.shape[0]):
        out[c] = exp(x[c] - top)
    total = row_sum(out)
    for c in range(x.shape[0]):
        out[c] = out[c] / total


def _gelu_of(x: float) -> float:
    """x / 2 * (1 + erf(x / sqrt(2)))."""
    return x * 0.5 * (1.0 + erf(x * 0.7071067811865476))


layernorm_row = kernel(_layernorm_row)
softmax_row = kernel(_softmax_row)
gelu_of = inline_kernel(_gelu_of)


def _layernorm(x: Float64, weight: Float64, bias: Float64, epsilon: float, out: Float64) -> None:
    """Every row of x (O, M, C); weight and bias (C,)."""
    for i in range(x.shape[0]):
        for m in range(x.shape[1]):
            layernorm_row(contiguous(x[i, m]), weight, bias, epsilon, contiguous(out[i, m]))


def _softmax(x: Float64, out: Float64) -> None:
    """Every row of x (O, M, C)."""
    for i in range(x.shape[0]):
        for m in range(x.shape[1]):
            softmax_row(contiguous(x[i, m]), contiguous(out[i, m]))


def _gelu(x: Float64, out: Float64) -> None:
    """Every element of x (O, M, C)."""
    for i in range(x.shape[0]):
        for m in range(x.shape[1]):
            row, reals = contiguous(x[i, m]), contiguous(out[i, m])
            for c in range(row.shape[0]):
                reals[c] = gelu_of(row[c])


layernorm = kernel(_layernorm)
softmax = kernel(_softmax)
gelu = kernel(_gelu)
