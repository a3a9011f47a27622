"""Exact integer matrix products (S3): acc = sum over k of (a - za) * (b - zb), in int32.

The caller proves that no accumulator leaves int32, and has subtracted the zero points: the left operand comes as int32,
the right one as int16 or int32, so that one loop serves every mix of signs.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Int32 = npt.NDArray[np.int32]


def _gemm(a: npt.NDArray[np.int32], b: npt.NDArray[np.int16], out: Int32) -> None:
    """out (G, M, N) = a (G, M, K) @ b (G, K, N); b with G = 1 serves every product of the batch."""
    groups, rows, depth = a.shape
    columns = b.shape[2]
    for g in range(groups):
        right = b[g if b.shape[0] > 1 else 0]
        m = 0
        while m + 4 <= rows:
            out0, out1, out2, out3 = out[g, m], out[g, m + 1], out[g, m + 2], out[g, m + 3]
            out0[:] = 0
            out1[:] = 0
            out2[:] = 0
            out3[:] = 0
            for k in range(depth):
                row = right[k]
                a0, a1, a2, a3 = a[g, m, k], a[g, m + 1, k], a[g, m + 2, k], a[g, m + 3, k]
                for n in range(columns):
                    weight = np.int32(row[n])
                    out0[n] += np.int32(a0 * weight)
                    out1[n] += np.int32(a1 * weight)
                    out2[n] += np.int32(a2 * weight)
                    out3[n] += np.int32(a3 * weight)
            m += 4
        while m < rows:
            last = out[g, m]
            last[:] = 0
            for k in range(depth):
                row = right[k]
                a0 = a[g, m, k]
                for n in range(columns):
                    last[n] += np.int32(a0 * np.int32(row[n]))
            m += 1


gemm = kernel(_gemm)
