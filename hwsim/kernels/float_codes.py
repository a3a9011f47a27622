"""Quantize (S2) and dequantize (S1) in float64, row by row.

Rows are the last axis of (O, M, C) arrays and are contiguous; the other axes may have any strides. Scales and zero points
go by row, m modulo their length, or by column.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.float_exp import ONES, ONES_BITS
from hwsim.kernels.kernel import inline_kernel, kernel
from hwsim.kernels.simd.float_rows import contiguous

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Codes = npt.NDArray[np.integer]

GREATEST = 1.7976931348623157e308


def _steps(x: float, scale: float, low: float, high: float) -> np.int64:
    """x / scale, rounded to the even nearest integer, in low..high (integers within +-2^33); of NaN any integer.

    Clamped first, which is the same; then ONES is added, behind which there is no place for a fraction.
    """
    steps = x / scale
    steps = low if steps < low else steps
    steps = high if steps > high else steps
    whole = np.float64(steps + ONES)
    return whole.view(np.int64) - ONES_BITS


steps = inline_kernel(_steps)


def _quantize_row(x: Float64, scale: float, zero: int, qmin: int, qmax: int, out: Codes) -> bool:
    """S2 of a row with one grid; False where an x is NaN or infinite (its code is then meaningless)."""
    low, high = float(qmin - zero), float(qmax - zero)
    finite = True
    for c in range(x.shape[0]):
        finite &= abs(x[c]) <= GREATEST
        out[c] = steps(x[c], scale, low, high) + zero
    return finite


quantize_row = kernel(_quantize_row)


def _quantize(x: Float64, scale: Float64, zero: Int64, qmin: int, qmax: int, out: Codes) -> bool:
    """x (O, M, C) with grids by row; False where an x is not finite."""
    finite = True
    for i in range(x.shape[0]):
        for m in range(x.shape[1]):
            g = m % scale.shape[0]
            finite &= quantize_row(contiguous(x[i, m]), scale[g], zero[g], qmin, qmax, contiguous(out[i, m]))
    return finite


def _quantize_columns(x: Float64, scale: Float64, zero: Int64, qmin: int, qmax: int, out: Codes) -> bool:
    """x (O, M, C) with grids by column (C,); False where an x is not finite."""
    finite = True
    for i in range(x.shape[0]):
        for m in range(x.shape[1]):
            row, codes = contiguous(x[i, m]), contiguous(out[i, m])
            for c in range(row.shape[0]):
                finite &= abs(row[c]) <= GREATEST
                codes[c] = steps(row[c], scale[c], float(qmin - zero[c]), float(qmax - zero[c])) + zero[c]
    return finite


def _dequantize(q: Codes, scale: Float64, zero: Int64, out: Float64) -> None:
    """q (O, M, C) with grids by row; q - zero is exact in float64."""
    for i in range(q.shape[0]):
        for m in range(q.shape[1]):
            row, reals = contiguous(q[i, m]), contiguous(out[i, m])
            factor, middle = scale[m % scale.shape[0]], float(zero[m % scale.shape[0]])
            for c in range(row.shape[0]):
                reals[c] = (float(row[c]) - middle) * factor


def _dequantize_columns(q: Codes, scale: Float64, zero: Int64, out: Float64) -> None:
    """q (O, M, C) with grids by column (C,)."""
    for i in range(q.shape[0]):
        for m in range(q.shape[1]):
            row, reals = contiguous(q[i, m]), contiguous(out[i, m])
            for c in range(row.shape[0]):
                reals[c] = (float(row[c]) - float(zero[c])) * scale[c]


quantize = kernel(_quantize)
quantize_columns = kernel(_quantize_columns)
dequantize = kernel(_dequantize)
dequantize_columns = kernel(_dequantize_columns)
