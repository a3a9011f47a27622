"""Integer GELU (S13): q times an integer weight that stands for erf + 1 or for a sigmoid, in int64.

`q` is the code less its zero point. The callers prove that no product leaves 63 bits.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Int64 = npt.NDArray[np.int64]


def _polynomial_gelu(q: Int64, fraction: int, b: int, c: int, erf_shift: int, out: Int64) -> None:
    """S13b of every element of the flat q, before rounding."""
    for i in range(q.shape[0]):
        rest = min(abs(q[i]) << fraction, np.int64(b)) - b
        erf = (c - rest * rest) * np.sign(q[i])
        out[i] = q[i] * ((erf + c) >> erf_shift)


def _shift_gelu(q: Int64, fraction: int, unit: int, halvings: int, sigmoid_bits: int, out: Int64) -> None:
    """S13c of rows q (R, C), before rounding; the maximum is over the row and zero."""
    rows, columns = q.shape
    for r in range(rows):
        top = np.int64(0)
        for c in range(columns):
            top = max(top, q[r, c])
        at_zero = np.int64(0)
        for c in range(-1, columns):  # -1 stands for a zero, whose exponential the others need
            x = ((q[r, c] if c >= 0 else np.int64(0)) - top) << fraction
            p = max(x + (x >> 1) - (x >> 4), np.int64(-halvings * unit))
            z = -p // unit
            e = (((p + z * unit) >> 1) + unit) << (halvings - z)
            if c < 0:
                at_zero = e
            else:
                out[r, c] = q[r, c] * ((e << (sigmoid_bits - 1)) // (e + at_zero))


polynomial_gelu = kernel(_polynomial_gelu)
shift_gelu = kernel(_shift_gelu)
