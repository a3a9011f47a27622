"""Operands of a product as unsigned bytes and signed ones.

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
from hwsim.kernels.simd.terms import Terms
from hwsim.kernels.simd.vectors import LANES
from hwsim.kernels.tier import Array, Grid, Packed, apart

EACH_BYTE = np.uint32(0x01010101)
"""Times a byte: four of it."""


@dataclass(frozen=True, eq=False)
class Bytes:
    """On the tiles of `driver`; `terms` of rows and columns."""

    driver: Driver
    terms: Terms
    size = 1
    """Bytes of a code."""

    def takes(self, left: Grid, right: Grid) -> bool:
        """At most a byte by a byte, one zero point per group, and short sums (Tiles.room) of one step at least."""
        if right.high - right.low >= 256 or left.high - left.low >= 256:
            return False
        one = left.one_zero_per_group and (right.one_zero_per_group or not _rest(right).any())
        return one and (self.driver.room == 0 or _run(left, right, self.driver.room) > 0)

    def pack(self, right: Array, grid: Grid, left: Grid, pairs: bool) -> Packed:
        """Panels, and what the columns add to each sum."""
        right = apart(right)
        depth, columns = right.shape[2:]
        groups = right.shape[0] * right.shape[1]
        driver = self.driver
        padded = -(-columns // driver.lanes) * driver.lanes
        eights = -(-depth // driver.depth) * driver.depth // 8
        way = _way(left, grid, pairs, driver.room)
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
        self.terms.columns(data, columns, eights, depth, way.zero, way.rest, max(bias, 0), bias >= 0, terms)
        extra = {"terms": terms, "eights": eights, "paired": bias >= 0, "run": way.run, "way": way}
        return Packed(depth, columns, grid, data, extra)

    def left(self, left: Array, grid: Grid, depth: int) -> Array:
        """(G1, G2, M', depth): `left` itself where it can stay as it is, else a copy."""
        *groups, rows, width = left.shape
        codes = _bytes(left)
        if codes.strides[3] == 1 and grid.low == 0 and width == depth and rows >= self.driver.height:
            return codes
        made = empty((*groups, max(rows, self.driver.height), depth), np.uint8)
        codes = codes if codes.strides[3] == 1 else np.ascontiguousarray(codes)
        pack_left(codes, grid.low, made.reshape(-1, *made.shape[2:]))
        return made

    def row_terms(self, places: tuple[int, Array, int], groups: int, rows: int, right: Packed) -> Array:
        """int32 (G or 1, M): what belongs to rows of the left operand that lies at `places`, if anything does."""
        way = right.extra["way"]
        if way.bias < 0 and not way.any_rest:
            return np.zeros((1, rows), np.int32)
        terms = empty((groups, rows), np.int32)
        self.terms.rows(*places, way.rest, max(way.bias, 0), way.bias >= 0, terms)
        return terms


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """How two grids are multiplied: zero point of u, what is added to each byte of the signed codes (Z, 1 or N), what is
    left of their zero points (Z,), what makes a sum of codes unsigned, or -1 where sums of codes do not fit bytes, and for
    how many steps sums stay short (tiles.py)."""

    zero: npt.NDArray[np.int64]
    plus: npt.NDArray[np.uint32]
    rest: npt.NDArray[np.int64]
    any_rest: bool
    bias: int
    run: int


@lru_cache(maxsize=4096)
def _way(left: Grid, right: Grid, pairs: bool, room: int) -> Way:
    """Of these very grids: they are compared by identity."""
    rest = _rest(right)
    low, high = _signed(right)
    most, bias = left.high - left.low, max(0, -low)
    legal = pairs and most + high + bias < 256 and most + high < 128
    plus = ((rest - right.zero) & 255).astype(np.uint32) * EACH_BYTE
    zero, run = (left.zero - left.low)[:, 0], _run(left, right, room)
    return Way(zero, plus, rest[:, 0], bool(rest.any()), bias if legal else -1, run)


def _run(left: Grid, right: Grid, room: int) -> int:
    """Steps of eight bytes, each of which adds four products to a short sum, for which it stays within `room`."""
    low, high = _signed(right)
    return room // max(1, 4 * (left.high - left.low) * max(-low, high))


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
