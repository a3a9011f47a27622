"""Integer LayerNorm (S11), step by step over rows (R, C) of int64; the callers prove that nothing leaves 63 bits.

`centre` (S11a) and `spread` (S11b) give what is divided and the sum of squares whose root (`isqrt`) it is divided by;
`mantissa` (S11b) is a reciprocal of few bits; `affine` divides by multiplying, and applies gain and offset.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Int64 = npt.NDArray[np.int64]


def _centre(x: Int64, fraction: int, y: Int64, squares: Int64) -> None:
    """y = x * 2^fraction less its row's mean, rounded half up; squares (R,): sums of y * y."""
    rows, columns = x.shape
    for r in range(rows):
        total = np.int64(0)
        for c in range(columns):
            total += x[r, c]
        mean = (2 * (total << fraction) + columns) // (2 * columns)
        square = np.int64(0)
        for c in range(columns):
            y[r, c] = (x[r, c] << fraction) - mean
            square += y[r, c] * y[r, c]
        squares[r] = square


def _spread(x: Int64, alpha: Int64, y: Int64, squares: Int64) -> None:
    """With u = x * 2^alpha (floor; alpha is (C,)): y = C * u - sum u; squares (R,): C * sum u * u - (sum u)^2."""
    rows, columns = x.shape
    for r in range(rows):
        total = np.int64(0)
        square = np.int64(0)
        for c in range(columns):
            u = x[r, c] << alpha[c] if alpha[c] >= 0 else x[r, c] >> -alpha[c]
            y[r, c] = u
            total += u
            square += u * u
        for c in range(columns):
            y[r, c] = columns * y[r, c] - total
        squares[r] = columns * square - total * total


def _mantissa(values: Int64, bits: int, factor: Int64, shift: Int64) -> None:
    """factor / 2^shift is at most 1 / value, with the leading one of factor at bit `bits` - 1; the flat values are > 0."""
    one = np.int64(1)
    largest = (one << np.int64(bits)) - one
    for i in range(values.shape[0]):
        width = np.int64(0)
        while values[i] >> width:
            width += one
        shift[i] = width - one + bits
        factor[i] = min((one << shift[i]) // values[i], largest)


def _affine(y: Int64, factor: Int64, shift: Int64, gain: Int64, offset: Int64, out: Int64) -> None:
    """((y * factor) >> shift) * gain + offset; factor and shift (R,), a negative one to the left; gain, offset (C,)."""
    rows, columns = y.shape
    for r in range(rows):
        for c in range(columns):
            product = y[r, c] * factor[r]
            n = product >> shift[r] if shift[r] >= 0 else product << -shift[r]
            out[r, c] = n * gain[c] + offset[c]


centre = kernel(_centre)
spread = kernel(_spread)
mantissa = kernel(_mantissa)
affine = kernel(_affine)
