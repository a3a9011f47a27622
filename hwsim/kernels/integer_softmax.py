"""Integer softmax (S12): exponentials of score differences, then probabilities or log2 codes, in int64.

`x` is the score less the row's maximum, never positive. The caller proves that a row's sum stays below 2^61 and the
numerator below 2^62; no product is then wider than 63 bits, because a weight times floor(numerator / sum) is at most
the numerator.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Int64 = npt.NDArray[np.int64]


def _shift_exp(x: Int64, unit: int, fraction_bits: int, halvings: int, out: Int64) -> None:
    """S12a: unit * 2^fraction_bits * exp(x / unit), about, of every element of the flat x; shifts floor."""
    for i in range(x.shape[0]):
        p = x[i] + (x[i] >> 1) - (x[i] >> 4)
        p = max(p, -halvings * unit)
        z = -p // unit
        r = p + z * unit
        out[i] = (((r >> 1) + unit) << fraction_bits) >> z


def _polynomial_exp(x: Int64, ln2: int, b: int, c: int, fraction_bits: int, halvings: int, out: Int64) -> None:
    """S12b: c * 2^fraction_bits * exp(x * ln 2 / ln2), about, of every element of the flat x; the shift floors."""
    for i in range(x.shape[0]):
        p = max(x[i], -halvings * ln2)
        z = -p // ln2
        r = p + z * ln2
        out[i] = ((r * (r + b) + c) << fraction_bits) >> z


def _normalise(e: Int64, numerator: int, shift: int, half: int, qmax: int, out: npt.NDArray[np.integer]) -> None:
    """Rows of weights e (R, N) to min((e * floor(numerator / sum) + half) >> shift, qmax)."""
    for row in range(e.shape[0]):
        factor = numerator // np.sum(e[row])
        for i in range(e.shape[1]):
            out[row, i] = min((e[row, i] * factor + half) >> shift, qmax)


def _log_codes(e: Int64, last: int, out: npt.NDArray[np.integer]) -> None:
    """Rows of weights e (R, N) to log2(sum / e), rounded up from 1.5 * 2^k on, at most `last` (S12c).

    A code is how many k there are, of 0 .. last - 1, with 3 * 2^k * e <= 2 * sum: e is not above floor(2 * sum / 3) >> k.
    """
    for row in range(e.shape[0]):
        most = 2 * np.sum(e[row]) // 3
        out[row] = 0
        for k in range(last):
            bound = most >> k
            for i in range(e.shape[1]):
                out[row, i] += e[row, i] <= bound


shift_exp = kernel(_shift_exp)
polynomial_exp = kernel(_polynomial_exp)
normalise = kernel(_normalise)
log_codes = kernel(_log_codes)
