"""Arrays as the kernels of float rows take them: views (O, M, C), with the axes in the order in which they lie in memory.

So the transposed views that attention is full of are not copied: what is made of them lies in memory as they do.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.kernels import memory
from hwsim.op import Array


@dataclass(frozen=True, slots=True)
class RowView:
    """`rows` (O, M, C), whose last axis is contiguous, of an array whose axes have `sizes` in the `order` of memory."""

    rows: Array
    order: tuple[int, ...]
    sizes: tuple[int, ...]

    def like(self, dtype: npt.DTypeLike) -> tuple[Array, Array]:
        """A new array for the result, which lies in memory in the same order: its rows, and the array itself."""
        made = memory.empty(self.sizes, dtype)
        return made.reshape(self.rows.shape), made.transpose(memory.inverse(self.order))


def by_grid(x: Array, axis: int | None) -> tuple[RowView, bool]:
    """The rows of x, and whether the channels `axis` of its grid are along C; else they are along M, and where there is
    no axis the rows are as long as they may be."""
    order, lying = _as_it_lies(x)
    if axis is not None:
        place = order.index(axis)
        if 0 < place == x.ndim - 1:
            return _cut(order, lying, place - 1), True
        return _cut(order, lying, place), False
    place, step = x.ndim, lying.itemsize
    while place and lying.strides[place - 1] == step:
        place -= 1
        step *= lying.shape[place]
    return _cut(order, lying, place - 1), False


def by_last(x: Array) -> RowView:
    """The rows (..., C) of x along its last axis."""
    order, lying = _as_it_lies(x)
    if order[-1] != x.ndim - 1:
        order, lying = tuple(range(x.ndim)), np.ascontiguousarray(x)
    return _cut(order, lying, x.ndim - 2)


def real(x: Array) -> npt.NDArray[np.float64]:
    """x in float64, as it lies."""
    return x.astype(np.float64, order="K", copy=False)


def _as_it_lies(x: Array) -> tuple[tuple[int, ...], Array]:
    """The axes from the longest step to the shortest, those of one element first; x with its axes so, the last one
    contiguous."""
    if any(step <= 0 for step, size in zip(x.strides, x.shape, strict=True) if size > 1):
        x = np.ascontiguousarray(x)
    order = tuple(sorted(range(x.ndim), key=lambda axis: (x.shape[axis] > 1, -x.strides[axis])))
    lying = x.transpose(order)
    if x.ndim and lying.strides[-1] != x.itemsize:
        lying = np.ascontiguousarray(lying)
    return order, lying


def _cut(order: tuple[int, ...], lying: Array, place: int) -> RowView:
    """O before the axis at `place`, M that axis, C behind it; a copy where strides do not allow that."""
    sizes = lying.shape
    middle = sizes[place] if place >= 0 else 1
    rows = lying.reshape(math.prod(sizes[: max(place, 0)]), middle, math.prod(sizes[place + 1 :]))
    return RowView(rows, order, sizes)


def room_for(values: tuple[Array, ...]) -> npt.NDArray[np.float64]:
    """An array for the floats that an element-wise operator makes of `values`, lying as the first that has its shape."""
    shape = np.broadcast_shapes(*(value.shape for value in values))
    for value in values:
        if value.shape == shape:
            return memory.empty_like(value, np.float64)
    return memory.empty(shape, np.float64)
