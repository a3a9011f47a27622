"""Float islands in float64, row by row: layernorm, softmax, gelu (S5 to S7). No fastmath: sums are in index order."""

import math

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Float64 = npt.NDArray[np.float64]


def _layernorm(x: Float64, weight: Float64, bias: Float64, epsilon: float, out: Float64) -> None:
    """Rows of x (R, C) to (x - mean) / sqrt(variance + epsilon) * weight + bias, with the biased variance."""
    rows, columns = x.shape
    for r in range(rows):
        total = 0.0
        for c in range(columns):
            total += x[r, c]
        mean = total / columns
        squares = 0.0
        for c in range(columns):
            centred = x[r, c] - mean
            squares += centred * centred
        inverse = 1.0 / math.sqrt(squares / columns + epsilon)
        for c in range(columns):
            out[r, c] = (x[r, c] - mean) * inverse * weight[c] + bias[c]


def _softmax(x: Float64, out: Float64) -> None:
    """Rows of x (R, C) to exp(x - max) / sum."""
    rows, columns = x.shape
    for r in range(rows):
        top = x[r, 0]
        for c in range(1, columns):
            top = max(top, x[r, c])
        total = 0.0
        for c in range(columns):
            out[r, c] = math.exp(x[r, c] - top)
            total += out[r, c]
        for c in range(columns):
            out[r, c] /= total


def _gelu(x: Float64, out: Float64) -> None:
    """x / 2 * (1 + erf(x / sqrt(2))) of every element of the flat x."""
    for i in range(x.shape[0]):
        out[i] = x[i] * 0.5 * (1.0 + math.erf(x[i] * 0.7071067811865476))


layernorm = kernel(_layernorm)
softmax = kernel(_softmax)
gelu = kernel(_gelu)
