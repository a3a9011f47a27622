"""The one place that fixes how kernels are compiled: lazily, cached, without the GIL, with NumPy's error model.

Use it by assignment at module level (`quantize = kernel(_quantize)`), so that the plain function stays testable and the
on-disk cache is hit. Kernels take flat arrays, never raise or print, and compute exact integers: their accumulator's
width was proven before they run (S3). `fastmath` is never set: floats must stay IEEE.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """`function` compiled by Numba at its first call."""
    compiled: Callable[P, R] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
