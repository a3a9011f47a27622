"""The passes of float_finish.py over groups (heads, images, windows); group g takes scales and grids at g modulo their
number."""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.float_finish import dequantize_mul_softmax_quantize, dequantize_quantize, layernorm_quantize
from hwsim.kernels.kernel import kernel

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Sums = npt.NDArray[np.int32]
Codes = npt.NDArray[np.integer]


def _scores_to_codes(
    acc: Sums,
    scale: Float64,
    scaled: bool,
    factor: float,
    bias: Float64,
    mask: Float64,
    heads: int,
    q_scale: Float64,
    q_zero: Int64,
    qmin: int,
    qmax: int,
    out: Codes,
) -> bool:
    """Codes of softmax(acc * scale * factor + bias + mask), (G, M, N); bias (Q, M, N), mask (W, M, N), one per `heads`
    groups; (1, 0, 0) where there is none. Returns whether all floats were finite."""
    finite = True
    for g in range(acc.shape[0]):
        finite &= dequantize_mul_softmax_quantize(
            acc[g],
            scale[g % scale.shape[0]],
            scaled,
            factor,
            bias[g % bias.shape[0]],
            mask[g // heads % mask.shape[0]],
            q_scale[g % q_scale.shape[0]],
            q_zero[g % q_zero.shape[0]],
            qmin,
            qmax,
            out[g],
        )
    return finite


def _sums_to_codes(
    acc: Sums, scale: Float64, q_scale: Float64, q_zero: Int64, qmin: int, qmax: int, out: Codes
) -> bool:
    """Codes of acc * scale, (G, M, N)."""
    finite = True
    for g in range(acc.shape[0]):
        q = g % q_scale.shape[0]
        finite &= dequantize_quantize(acc[g], scale[g % scale.shape[0]], q_scale[q], q_zero[q], qmin, qmax, out[g])
    return finite


def _norm_to_codes(
    x: Float64,
    weight: Float64,
    bias: Float64,
    epsilon: float,
    q_scale: Float64,
    q_zero: Int64,
    qmin: int,
    qmax: int,
    out: Codes,
) -> bool:
    """Codes of layernorm(x) over the last axis of (A, H, M, C), whose elements lie side by side; grids per H."""
    finite = True
    for a in range(x.shape[0]):
        for h in range(x.shape[1]):
            q = h % q_scale.shape[0]
            finite &= layernorm_quantize(x[a, h], weight, bias, epsilon, q_scale[q], q_zero[q], qmin, qmax, out[a, h])
    return finite


scores_to_codes = kernel(_scores_to_codes)
sums_to_codes = kernel(_sums_to_codes)
norm_to_codes = kernel(_norm_to_codes)
