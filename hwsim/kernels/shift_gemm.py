"""Products by shifting (S14): acc = sum over k of ((significand[c] * v) << shift[c]) - zero * (sum over k of v), c = a[k].

Left shifts alone: shifting v to the right instead, before the sum, would cut its low bits off in every term and bias the
sum. The constant `zero` is taken off once, by one column sum that all rows share. The caller proves that neither the
shifted sum, nor zero times the column sum, nor their difference leaves int32.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Int32 = npt.NDArray[np.int32]


def _shift_gemm(
    codes: npt.NDArray[np.uint8], significand: Int32, shift: Int32, zero: int, v: npt.NDArray[np.int16], out: Int32
) -> None:
    """out (G, M, N) of codes (G, M, K) and centred v (G or 1, K, N), int16 or int32; one table entry per code."""
    groups, rows, depth = codes.shape
    columns = v.shape[2]
    for g in range(groups):
        right = v[g if v.shape[0] > 1 else 0]
        for m in range(rows):
            acc = out[g, m]
            acc[:] = 0
            for k in range(depth):
                code = codes[g, m, k]
                factor, places = significand[code], shift[code] & 31
                if factor != 0:
                    row = right[k]
                    for n in range(columns):
                        acc[n] += np.int32(np.int32(factor * row[n]) << places)
        if zero != 0:
            for n in range(columns):
                total = np.int64(0)
                for k in range(depth):
                    total += right[k, n]
                for m in range(rows):
                    out[g, m, n] -= np.int32(total * zero)


shift_gemm = kernel(_shift_gemm)
