"""What stands between two products in the mixed form, in one pass: the floats never leave the first cache.

Each kernel gives the bits of its operators one after the other: dequantize (S1), mul, add (S8), layernorm (S5), softmax
(S6), gelu (S7), quantize (S2). acc and out are (R, N) with contiguous rows, which may lie apart; accumulators have zero
point 0, and grids of codes are per tensor; out overlaps no operand. Those that quantize return whether every float was
finite. gelu and softmax are guessed in float32 first (float_guess).
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.elementwise import gelu_of, layernorm_row, softmax_row
from hwsim.kernels.float_codes import GREATEST, quantize_row, steps
from hwsim.kernels.float_guess import guess_gelu_codes, guess_score_codes, guess_softmax_codes, guessable, narrowed
from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.float_rows import contiguous

Float64 = npt.NDArray[np.float64]
Sums = npt.NDArray[np.int32]
Codes = npt.NDArray[np.integer]

BLOCK, PART = 256, 32
"""Columns whose codes are guessed, and are sure or not, together; and where they are not, those that are made again."""


def _dequantize_add(acc: Sums, scale: Float64, bias: Float64, out: Float64) -> None:
    """acc * scale + bias; scale and bias (N,)."""
    for r in range(acc.shape[0]):
        row, reals = contiguous(acc[r]), contiguous(out[r])
        for n in range(row.shape[0]):
            reals[n] = float(row[n]) * scale[n] + bias[n]


def _dequantize_add_residual(acc: Sums, scale: Float64, bias: Float64, residual: Float64, out: Float64) -> None:
    """residual + (acc * scale + bias); scale and bias (N,), residual (R, N)."""
    for r in range(acc.shape[0]):
        row, other, reals = contiguous(acc[r]), contiguous(residual[r]), contiguous(out[r])
        for n in range(row.shape[0]):
            reals[n] = other[n] + (float(row[n]) * scale[n] + bias[n])


def _gelu_codes(
    acc: Sums, scale: Float64, bias: Float64, q_scale: float, q_zero: int, low: float, high: float, out: Codes
) -> bool:
    """Codes (N,) of gelu(acc * scale + bias)."""
    finite = True
    for n in range(acc.shape[0]):
        value = gelu_of(float(acc[n]) * scale[n] + bias[n])
        finite &= abs(value) <= GREATEST
        out[n] = steps(value, q_scale, low, high) + q_zero
    return finite


gelu_codes = kernel(_gelu_codes)


def _dequantize_add_gelu_quantize(
    acc: Sums,
    scale: Float64,
    bias: Float64,
    q_scale: float,
    q_zero: int,
    qmin: int,
    qmax: int,
    out: Codes,
) -> bool:
    """Codes of gelu(acc * scale + bias); scale and bias (N,)."""
    low, high = float(qmin - q_zero), float(qmax - q_zero)
    scale32, bias32 = np.empty(scale.shape[0], np.float32), np.empty(scale.shape[0], np.float32)
    guess = narrowed(scale, bias, scale32, bias32) and guessable(q_scale, low, high)
    finite = True
    for r in range(acc.shape[0]):
        for start in range(0, acc.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            row, codes = contiguous(acc[r, block]), contiguous(out[r, block])
            if guess and guess_gelu_codes(row, scale32[block], bias32[block], q_scale, q_zero, low, high, codes):
                continue
            for first in range(start, min(start + BLOCK, acc.shape[1]), PART):
                part = slice(first, first + PART)
                row, codes = contiguous(acc[r, part]), contiguous(out[r, part])
                if not (
                    guess and guess_gelu_codes(row, scale32[part], bias32[part], q_scale, q_zero, low, high, codes)
                ):
                    finite &= gelu_codes(row, scale[part], bias[part], q_scale, q_zero, low, high, codes)
    return finite


def _dequantize_quantize(
    acc: Sums, scale: float, q_scale: float, q_zero: int, qmin: int, qmax: int, out: Codes
) -> bool:
    """Codes of acc * scale."""
    low, high = float(qmin - q_zero), float(qmax - q_zero)
    finite = True
    for r in range(acc.shape[0]):
        row, codes = contiguous(acc[r]), contiguous(out[r])
        for n in range(row.shape[0]):
            value = float(row[n]) * scale
            finite &= abs(value) <= GREATEST
            codes[n] = steps(value, q_scale, low, high) + q_zero
    return finite


def _dequantize_mul_softmax_quantize(
    acc: Sums,
    scale: float,
    scaled: bool,
    factor: float,
    bias: Float64,
    mask: Float64,
    q_scale: float,
    q_zero: int,
    qmin: int,
    qmax: int,
    out: Codes,
) -> bool:
    """Codes of softmax(acc * scale * factor + bias + mask): `factor` where `scaled`; bias and mask (R, N), or (0, 0)
    where there is none; from left to right."""
    low, high = float(qmin - q_zero), float(qmax - q_zero)
    guess = guessable(q_scale, low, high)
    finite = True
    reals, shares = np.empty(acc.shape[1], dtype=np.float64), np.empty(acc.shape[1], dtype=np.float64)
    exps = np.empty(acc.shape[1], dtype=np.float32)
    alone, unit = guess and bias.shape[0] + mask.shape[0] == 0, scale * (factor if scaled else 1.0)
    for r in range(acc.shape[0]):
        row, codes = contiguous(acc[r]), contiguous(out[r])
        if alone and guess_score_codes(row, unit, q_scale, q_zero, low, high, exps, codes):
            continue
        for n in range(row.shape[0]):
            value = float(row[n]) * scale
            reals[n] = value * factor if scaled else value
        for addend in (bias, mask):
            if addend.shape[0] > 0:
                other = contiguous(addend[r])
                for n in range(row.shape[0]):
                    reals[n] = reals[n] + other[n]
        if alone or not (guess and guess_softmax_codes(reals, q_scale, q_zero, low, high, exps, codes)):
            softmax_row(reals, shares)
            finite &= quantize_row(shares, q_scale, q_zero, qmin, qmax, codes)
    return finite


def _layernorm_quantize(
    x: Float64,
    weight: Float64,
    bias: Float64,
    epsilon: float,
    q_scale: float,
    q_zero: int,
    qmin: int,
    qmax: int,
    out: Codes,
) -> bool:
    """Codes of layernorm(x); x (R, C), weight and bias (C,)."""
    finite = True
    reals = np.empty(x.shape[1], dtype=np.float64)
    for r in range(x.shape[0]):
        layernorm_row(contiguous(x[r]), weight, bias, epsilon, reals)
        finite &= quantize_row(reals, q_scale, q_zero, qmin, qmax, contiguous(out[r]))
    return finite


dequantize_add = kernel(_dequantize_add)
dequantize_add_residual = kernel(_dequantize_add_residual)
dequantize_add_gelu_quantize = kernel(_dequantize_add_gelu_quantize)
dequantize_quantize = kernel(_dequantize_quantize)
dequantize_mul_softmax_quantize = kernel(_dequantize_mul_softmax_quantize)
layernorm_quantize = kernel(_layernorm_quantize)
