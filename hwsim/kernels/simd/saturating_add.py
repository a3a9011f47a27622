"""The sum of codes (S10), clamped; it fits 32 bits before that, as the caller proves."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.code import I32, Code
from hwsim.kernels.simd.vectors import LANES, load, over_arrays, store

Integers = npt.NDArray[Any]


def _run(code: Code, forms: Any, a: Any, b: Any, end: Any, groups: Any, qmin: Any, qmax: Any) -> None:
    """`f((a, b, out), (a, b, out, groups, qmin, qmax))`: addresses of elements that lie side by side."""
    low, high = (code.splat(code.builder.trunc(value, I32), LANES) for value in (qmin, qmax))

    def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        total = code.builder.add(load(code, forms[0], a, group), load(code, forms[1], b, group))
        store(code, forms[2], code.smallest(code.largest(total, low), high), end, group)
        return []

    code.loop(groups, [], body)


_sums = over_arrays(_run)


def _saturating_add(a: Integers, b: Integers, qmin: int, qmax: int, out: Integers) -> None:
    """Every element of a and b (O, M, N), whose N elements lie side by side in all three."""
    low, high = np.int32(qmin), np.int32(qmax)
    groups = a.shape[2] // LANES
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            if groups > 0:
                places = (a[i, j].ctypes.data, b[i, j].ctypes.data, out[i, j].ctypes.data)
                _sums((a, b, out), (*places, groups, qmin, qmax))
            for k in range(groups * LANES, a.shape[2]):
                total = np.int32(np.int32(a[i, j, k]) + np.int32(b[i, j, k]))
                out[i, j, k] = min(max(total, low), high)


saturating_add = kernel(_saturating_add)
