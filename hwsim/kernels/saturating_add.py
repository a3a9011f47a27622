"""The sum of codes (S10), clamped; it fits 32 bits before that, as the caller proves."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Integers = npt.NDArray[Any]


def _saturating_add(a: Integers, b: Integers, qmin: int, qmax: int, out: Integers) -> None:
    """Every element of a and b (O, M, N), whose N elements lie side by side."""
    low, high = np.int32(qmin), np.int32(qmax)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            for k in range(a.shape[2]):
                total = np.int32(np.int32(a[i, j, k]) + np.int32(b[i, j, k]))
                out[i, j, k] = min(max(total, low), high)


saturating_add = kernel(_saturating_add)
