"""A tier whose products run on tiles in registers, of unsigned bytes by signed ones.

Codes less their smallest are the unsigned operand, u; codes less their zero point are the signed one, s, where they fit
(else 128 is taken off, and r is what is left of the zero point). With z the zero point of u:

    acc = sum (u - z)(s - r) = sum u s - r sum u - z sum s + K z r

whose last three terms belong to a row or a column; sums of columns are made when an operand is packed.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hwsim.kernels.memory import empty
from hwsim.kernels.packing import pack_columns, pack_left, pack_rows
from hwsim.kernels.simd.product import Driver
from hwsim.kernels.simd.rows import finish_arguments, finish_sums
from hwsim.kernels.simd.vectors import LANES
from hwsim.kernels.team import shared
from hwsim.kernels.tier import Array, Finish, Grid, Packed, Tier, apart, together

EACH_BYTE = np.uint32(0x01010101)
"""Times a byte: four of it."""


class SimdTier(Tier):
    """Products on the tiles of `driver`."""

    largest_pair = 1 << 16
    """The sum of two products u * s must stay below it."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.pairable = driver.paired
        self.rows = driver.rows

    def takes(self, left: Grid, right: Grid, depth: int) -> bool:
        """At most two bytes by one, one zero point per group, and no saturation."""
        if right.high - right.low >= 256 or left.high - left.low >= 1 << 16:
            return False
        low, high = _signed(right)
        one = left.one_zero_per_group and (right.one_zero_per_group or not _rest(right).any())
        return one and 2 * min(255, left.high - left.low) * max(-low, high) < self.largest_pair

    def pack(self, right: Array, grid: Grid, left: Grid) -> Packed:
        """Panels, and what the columns add to each sum."""
        right = apart(right)
        depth, columns = right.shape[2:]
        groups = right.shape[0] * right.shape[1]
        driver = self.driver
        padded = -(-columns // driver.lanes) * driver.lanes
        eights = -(-depth // driver.depth) * driver.depth // 8
        way = _way(left, grid, self.pairs and self.pairable)
        bias = way.bias
        data = empty((groups, padded * 8 * eights), np.uint8)
        shape = way.plus, np.uint32(max(bias, 0) * EACH_BYTE), columns, driver.lanes, driver.vectors
        codes = _bytes(right)
        if codes.strides[2] == 1 and columns > 1 and depth % 4 == 0:
            pack_columns(codes.transpose(0, 1, 3, 2).view(np.uint32), *shape, data.view(np.uint32))
        else:
            rows = codes if codes.strides[3] == 1 else np.ascontiguousarray(codes)
            pack_rows(rows, *shape, data.view(np.uint32))
        kinds = math.lcm(groups, len(way.zero), len(way.rest))
        terms = empty((kinds, -(-columns // LANES) * LANES), np.int32)
        driver.column_terms(data, columns, eights, depth, way.zero, way.rest, max(bias, 0), bias >= 0, terms)
        extra = {"terms": terms, "bias": bias, "eights": eights, "rest": way.rest, "any_rest": way.any_rest}
        return Packed(depth, columns, grid, data, extra)

    def product(
        self,
        left: Array,
        grid: Grid,
        right: Packed,
        finish: Finish | None = None,
        out: Array | None = None,
    ) -> Array:
        """All of it in one call of the driver, or in one for each byte of the left operand."""
        if grid.high - grid.low >= 256:
            return self._by_bytes(left, grid, right, finish, out)
        left = apart(left)
        groups, height = left.shape[0] * left.shape[1], left.shape[2]
        bias, eights = right.extra["bias"], right.extra["eights"]
        a = self._left(left, grid, eights * 8)
        places = a.ctypes.data, _strides(a), eights
        row = self._row_terms(a, places, right)
        if out is None:
            container = np.dtype(np.int32) if finish is None else finish.container
            out = empty((groups, 1, height, right.columns), container)
        *arrays, low, high, mode, add, address = finish_arguments(finish, out)
        strides, sizes, terms = _strides(out), (height, right.columns, add, address), right.extra["terms"]

        def part(first_group: int, past_group: int, first: int, past: int) -> None:
            span = np.array((first_group, past_group, first, past), np.int64)
            self.driver.product(
                *places, right.data, row, terms, *arrays, low, high, mode, bias >= 0, *sizes, strides, span
            )

        if groups > 1:
            shared(groups, 1, lambda start, stop: part(start, stop, 0, height))
        else:
            shared(height, self.rows, lambda start, stop: part(0, 1, start, stop))
        return out.reshape(groups, height, right.columns) if out.shape[1] == 1 else out

    def _by_bytes(
        self,
        left: Array,
        grid: Grid,
        right: Packed,
        finish: Finish | None,
        out: Array | None,
    ) -> Array:
        """The product of the low bytes of u, and 256 times that of the high ones, which has no zero point."""
        codes = np.subtract(together(left), grid.low, dtype=np.int64).astype(np.uint16)
        byte = Grid(0, 255, np.zeros((1, 1), np.int64))
        nothing = {"terms": np.zeros_like(right.extra["terms"])}
        upper = Packed(right.depth, right.columns, right.grid, right.data, {**right.extra, **nothing})
        sums = self.product((codes & 255).astype(np.uint8), byte, right)
        sums += self.product((codes >> 8).astype(np.uint8), byte, upper) << 8
        if out is None:
            if finish is None:
                return sums
            out = empty((len(sums), 1, *sums.shape[1:]), finish.container)
        finish_sums(sums, finish, out)
        return out.reshape(sums.shape) if out.shape[1] == 1 else out

    def _left(self, left: Array, grid: Grid, depth: int) -> npt.NDArray[np.uint8]:
        """(G1, G2, M', depth): `left` itself where it can stay as it is, else a copy."""
        *groups, rows, width = left.shape
        codes = _bytes(left)
        if codes.strides[3] == 1 and grid.low == 0 and width == depth and rows >= self.driver.height:
            return codes
        made = empty((*groups, max(rows, self.driver.height), depth), np.uint8)
        codes = codes if codes.strides[3] == 1 else np.ascontiguousarray(codes)
        pack_left(codes, grid.low, made.reshape(-1, *made.shape[2:]))
        return made

    def _row_terms(self, a: npt.NDArray[np.uint8], places: tuple[int, Array, int], right: Packed) -> Array:
        """int32 (G or 1, M): what belongs to rows of a, which lies at `places`, if anything does."""
        bias, rest = right.extra["bias"], right.extra["rest"]
        if bias < 0 and not right.extra["any_rest"]:
            return _zeros(a.shape[2])
        terms = empty((a.shape[0] * a.shape[1], a.shape[2]), np.int32)
        self.driver.row_terms(*places, rest, max(bias, 0), bias >= 0, terms)
        return terms


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """How two grids are multiplied: zero point of u, what is added to each byte of the signed codes (Z, 1 or N), what is
    left of their zero points (Z,), and what makes a sum of codes unsigned, or -1 where sums of codes do not fit bytes
    (tiles.paired)."""

    zero: npt.NDArray[np.int64]
    plus: npt.NDArray[np.uint32]
    rest: npt.NDArray[np.int64]
    any_rest: bool
    bias: int


@lru_cache(maxsize=4096)
def _way(left: Grid, right: Grid, pairs: bool) -> Way:
    """Of these very grids: they are compared by identity."""
    rest = _rest(right)
    low, high = _signed(right)
    most, bias = left.high - left.low, max(0, -low)
    legal = pairs and most + high + bias < 256 and most + high < 128
    plus = ((rest - right.zero) & 255).astype(np.uint32) * EACH_BYTE
    return Way((left.zero - left.low)[:, 0], plus, rest[:, 0], bool(rest.any()), bias if legal else -1)


def _signed(right: Grid) -> tuple[int, int]:
    """The least and the largest signed byte that is stored, and the 0 that pads."""
    rest = _rest(right)
    less = right.zero - rest
    return min(0, int(right.low - less.max())), max(0, int(right.high - less.min()))


def _rest(right: Grid) -> npt.NDArray[np.int64]:
    """What is left of the zero points once as much was taken off as leaves every code a signed byte."""
    fits = (right.low - right.zero >= -128) & (right.high - right.zero < 128)
    middle = 128 + right.low
    rest: npt.NDArray[np.int64] = np.where(fits, 0, right.zero - middle)
    return rest


def _bytes(codes: Array) -> npt.NDArray[np.uint8]:
    """The low byte of every code."""
    return codes.view(np.uint8) if codes.itemsize == 1 else codes.astype(np.uint8)


def _strides(groups: Array) -> npt.NDArray[np.int64]:
    """Of (G1, G2, M, N), as the driver takes them."""
    return np.array((*groups.strides[:3], groups.shape[1]), np.int64)


def _zeros(rows: int) -> Array:
    return np.zeros((1, rows), np.int32)
