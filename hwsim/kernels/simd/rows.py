"""Sums that a BLAS computed, finished like those of tiles (finish.py), in vector code that any CPU has."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import bound, inline_kernel, kernel
from hwsim.kernels.simd import product
from hwsim.kernels.simd.product import EVEN, RAW, RESIDUAL, finishes
from hwsim.kernels.simd.vectors import LANES
from hwsim.kernels.tier import Array, Finish

HEIGHT = 4


def _finish_rows(
    sums: npt.NDArray[Any],
    left: npt.NDArray[np.int32],
    multiplier: npt.NDArray[np.int32],
    offset: npt.NDArray[np.int64],
    right: npt.NDArray[np.int32],
    zero: npt.NDArray[np.int32],
    low: int,
    high: int,
    mode: int,
    add: int,
    out: int,
    out_strides: npt.NDArray[np.int64],
    inner: int,
) -> None:
    """sums (G, M, N), int32 or floats that are whole, to codes; the rest as in product.py."""
    groups, rows, columns = sums.shape
    stride = (columns + LANES - 1) // LANES * LANES
    tile = np.empty((HEIGHT, stride), np.int32)
    row, column = np.zeros(HEIGHT, np.int32), np.zeros(stride, np.int32)
    for g in range(groups):
        q = g % multiplier.shape[0]
        group = g // inner * out_strides[0] + g % inner * out_strides[1]
        constants = (
            left.ctypes.data + q * left.strides[0],
            multiplier.ctypes.data + q * multiplier.strides[0],
            offset.ctypes.data + q * offset.strides[0],
            right.ctypes.data + q * right.strides[0],
            zero.ctypes.data + q * zero.strides[0],
        )
        m = 0
        while m < rows:
            count = min(HEIGHT, rows - m)
            for r in range(count):
                for n in range(columns):
                    tile[r, n] = np.int32(sums[g, m + r, n])
            place = group + m * out_strides[2]
            finish_tile(
                (tile.ctypes.data, stride * 4, count, row.ctypes.data, column.ctypes.data),
                columns,
                constants,
                low,
                high,
                mode,
                out + place,
                out_strides[2],
                add + place,
            )
            m += HEIGHT


finish_tile = inline_kernel(bound(product._finish_tile, "any", finishes()))
finish_rows: Any = kernel(_finish_rows)

_NONE = np.zeros((1, 1), np.int32)
_NO_OFFSET = np.zeros((1, 1), np.int64)


def finish_sums(sums: Array, finish: Finish | None, out: Array) -> None:
    """Sums (G, M, N), int32 or floats that are whole, finished into out (G1, G2, M, N)."""
    *arrays, low, high, mode, add, address = finish_arguments(finish, out)
    strides = np.array(out.strides[:3], np.int64)
    finish_rows(sums, *arrays, low, high, mode, add, address, strides, out.shape[1])


def finish_arguments(finish: Finish | None, out: Array) -> Any:
    """Arrays of constants, bounds, mode and addresses, as the kernels take them."""
    if finish is None:
        return _NONE, _NONE, _NO_OFFSET, _NONE, _NONE, 0, 0, RAW, 0, out.ctypes.data
    residual = finish.residual
    mode = finish.container.itemsize + (EVEN if finish.even else 0) + (0 if residual is None else RESIDUAL)
    arrays = finish.left, finish.multiplier, finish.lanes, finish.right, finish.zero
    return *arrays, finish.low, finish.high, mode, 0 if residual is None else residual.ctypes.data, out.ctypes.data
