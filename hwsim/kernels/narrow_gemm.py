"""Integer matrix products in an accumulator of N bits (S15), k ascending, in tiles of K.

The caller proves that every sum of products fits int32 (S3), so tiles are summed exactly before they are narrowed.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Int32 = npt.NDArray[np.int32]


def _narrow_gemm(
    a: npt.NDArray[np.int32], b: npt.NDArray[np.int16], bits: int, saturate: bool, tile: int, out: Int32
) -> tuple[int, int]:
    """out (G, M, N) = a (G, M, K) @ b (G or 1, K, N), `tile` products at a time; `bits` is 2..31, `tile` 1 or more.

    Returns how many narrowings changed a value, and how many elements of `out` are not the exact sum.
    """
    groups, rows, depth = a.shape
    columns = b.shape[2]
    half, mask = np.int32(1 << (bits - 1)), np.int32((1 << bits) - 1)
    low, high = np.int32(-half), np.int32(half - 1)
    exact, partial = np.empty(columns, np.int32), np.empty(columns, np.int32)
    narrowings = overflowed = 0
    for g in range(groups):
        right = b[g if b.shape[0] > 1 else 0]
        for m in range(rows):
            total = out[g, m]
            total[:] = 0
            exact[:] = 0
            for start in range(0, depth, tile):
                partial[:] = 0
                for k in range(start, min(start + tile, depth)):
                    left, row = a[g, m, k], right[k]
                    for n in range(columns):
                        partial[n] += np.int32(left * np.int32(row[n]))
                changed = np.int32(0)
                if saturate:
                    for n in range(columns):
                        exact[n] += partial[n]
                        part = min(max(partial[n], low), high)
                        wide = np.int32(total[n] + part)
                        total[n] = min(max(wide, low), high)
                        changed += np.int32(partial[n] != part) + np.int32(wide != total[n])
                else:
                    for n in range(columns):
                        exact[n] += partial[n]
                        part = np.int32(((partial[n] & mask) ^ half) - half)
                        wide = np.int32(total[n] + part)
                        total[n] = np.int32(((wide & mask) ^ half) - half)
                        changed += np.int32(partial[n] != part) + np.int32(wide != total[n])
                narrowings += int(changed)
            for n in range(columns):
                overflowed += int(total[n] != exact[n])
    return narrowings, overflowed


narrow_gemm = kernel(_narrow_gemm)
