"""Where kernels put their results: blocks that begin on a cache line, and are used again as soon as nobody holds them.

`empty` is `np.empty` on such a block. An array, or any view of it, holds its block; when the last of them goes, the block
is kept and serves the next array of its size class. So a chunk of images runs in about as
much memory as is live at once, and its pages are touched for the first time only once.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64
"""Bytes of a cache line, and of a vector register: a tile row that straddles two costs AMX half of its rate."""

KEPT = 1 << 28
"""Bytes of blocks that are kept for later."""


_Memory = tuple[npt.NDArray[np.uint8], int]
"""Bytes, and the address of the first cache line in them."""


class _Shelf:
    """The free blocks, by size; lists are pushed and popped whole, so that threads may share it without a lock."""

    def __init__(self) -> None:
        self.blocks: defaultdict[int, list[_Memory]] = defaultdict(list)
        self.size = 0
        """Bytes on the shelf, about: threads may miscount by a block."""

    def take(self, size: int) -> _Memory:
        """A block of `size` from the shelf, or a new one."""
        try:
            memory = self.blocks[size].pop()
        except IndexError:
            fresh = np.empty(size + ALIGNMENT, dtype=np.uint8)
            address = fresh.ctypes.data
            return fresh, address + -address % ALIGNMENT
        self.size -= size
        return memory

    def put(self, memory: _Memory, size: int) -> None:
        """The block back on the shelf, which is emptied first where it is full: it may hold sizes that nobody wants now."""
        if size > KEPT:
            return
        if self.size + size > KEPT:
            self.blocks.clear()
            self.size = 0
        self.blocks[size].append(memory)
        self.size += size


class _Block:
    """Memory that goes back on the shelf when the last array on it goes; NumPy holds it through the array interface."""

    __slots__ = ("__array_interface__", "memory", "size")

    def __init__(self, memory: _Memory, size: int, shape: tuple[int, ...], kind: str) -> None:
        self.memory = memory
        self.size = size
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": kind, "data": (memory[1], False)}

    def __del__(self) -> None:
        _SHELF.put(self.memory, self.size)


_SHELF = _Shelf()


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array in C order whose first element lies on a cache line; its contents are whatever was there."""
    kind = np.dtype(dtype)
    size = _size_class(max(math.prod(shape) * kind.itemsize, 1))
    return np.asarray(_Block(_SHELF.take(size), size, shape, kind.str))


def empty_like(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array of the shape and the order of axes in memory of `array`, without its gaps."""
    order = memory_order(array)
    inner = empty(tuple(array.shape[axis] for axis in order), dtype)
    return inner.transpose(inverse(order)) if order else inner.reshape(array.shape)


def memory_order(array: npt.NDArray[Any]) -> list[int]:
    """Axes from the one whose elements lie farthest apart to the one whose elements lie side by side."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def inverse(order: Sequence[int]) -> list[int]:
    """The order of axes that undoes `order`."""
    return sorted(range(len(order)), key=order.__getitem__)


def _size_class(size: int) -> int:
    """The least of 2^n, 1.25, 1.5, 1.75 times 2^n that is not below `size`, at least 4096: at most a fifth is unused."""
    step = max(4096, 1 << max(0, size.bit_length() - 3))
    return -(-size // step) * step
