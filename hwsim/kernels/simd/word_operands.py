"""Operands of a product as signed words, 16-bit integers: codes less their zero points.

For codes above 8 bits, as log2 codes stand for (S14), and for bytes where a tier's sums of bytes would saturate: a word takes
twice the memory of a byte, and its products half of their rate. Where left codes less their zero point do not fit, their
middle is taken off, and what it differs by, times the sum of a column, belongs to that.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.kernels.memory import empty
from hwsim.kernels.packing import pack_columns, pack_word_rows, pack_words
from hwsim.kernels.simd.product import Driver
from hwsim.kernels.simd.vectors import LANES
from hwsim.kernels.tier import Array, Grid, Packed, apart

NOTHING = np.zeros((1, 1), np.uint32)


@dataclass(frozen=True, eq=False)
class Words:
    """On the tiles of `driver`."""

    driver: Driver
    size = 2
    """Bytes of a code."""

    def takes(self, left: Grid, right: Grid) -> bool:
        """At most two bytes by two, of which the right ones less their zero points are signed words."""
        fits = left.high - left.low < 1 << 16 and bool(_fits(right).all())
        return fits and left.one_zero_per_group

    def pack(self, right: Array, grid: Grid, left: Grid, pairs: bool) -> Packed:
        """Panels."""
        right, driver = apart(right), self.driver
        *outer, depth, columns = right.shape
        eights = -(-2 * depth // driver.depth) * driver.depth // 8
        padded = -(-columns // driver.lanes) * driver.lanes
        data = empty((outer[0] * outer[1], padded * 8 * eights), np.uint8)
        panels, shape = data.view(np.uint32), (columns, driver.lanes, driver.vectors)
        if right.strides[2] == right.itemsize and columns > 1:
            words = empty((*outer, columns, depth + depth % 2), np.int16)
            pack_words(right.transpose(0, 1, 3, 2), grid.zero, words.reshape(-1, *words.shape[2:]))
            pack_columns(words.view(np.uint32), NOTHING, np.uint32(0), *shape, panels)
        else:
            rows = right if right.strides[3] == right.itemsize else np.ascontiguousarray(right)
            pack_word_rows(rows, grid.zero, *shape, panels)
        terms = _terms(right, grid, left)
        return Packed(depth, columns, grid, data, {"terms": terms, "eights": eights, "paired": False, "run": 0})

    def left(self, left: Array, grid: Grid, depth: int) -> Array:
        """(G1, G2, M', depth) of words: `left` itself where it can stay as it is, else a copy."""
        *groups, rows, width = left.shape
        height = self.driver.height
        whole = left.strides[3] == left.itemsize
        if left.itemsize == 2 and whole and not _less(grid).any() and width == depth and rows >= height:
            return left
        made = empty((*groups, max(rows, height), depth), np.int16)
        pack_words(left if whole else np.ascontiguousarray(left), _less(grid), made.reshape(-1, *made.shape[2:]))
        return made

    def row_terms(self, places: tuple[int, Array, int], groups: int, rows: int, right: Packed) -> Array:
        """int32 (1, M): nothing."""
        return np.zeros((1, rows), np.int32)


def _fits(grid: Grid) -> npt.NDArray[np.bool_]:
    """Of each zero point, whether all codes less it are signed words."""
    fits: npt.NDArray[np.bool_] = (grid.low - grid.zero >= -(1 << 15)) & (grid.high - grid.zero < 1 << 15)
    return fits


def _less(left: Grid) -> npt.NDArray[np.int64]:
    """What is taken off left codes, (Z, 1)."""
    less: npt.NDArray[np.int64] = np.where(_fits(left), left.zero, left.low + (1 << 15))
    return less


def _terms(right: Array, grid: Grid, left: Grid) -> npt.NDArray[np.int32]:
    """int32 (T, N'): what belongs to the columns of `right` (G1, G2, K, N); they wrap as sums do."""
    rest, columns = _less(left) - left.zero, right.shape[3]
    padding = ((0, 0), (0, -columns % LANES))
    if not rest.any():
        return np.zeros((1, columns + padding[1][1]), np.int32)
    sums = right.sum(axis=2, dtype=np.int64).reshape(-1, columns)
    kinds = math.lcm(len(sums), len(rest))
    of = np.arange(kinds)
    sums = sums[of % len(sums)] - right.shape[2] * grid.zero[of % len(grid.zero)]
    return np.pad(rest[of % len(rest)] * sums, padding).astype(np.int32)
