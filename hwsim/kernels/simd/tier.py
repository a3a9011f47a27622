"""A tier whose products run on tiles in registers: of bytes, or of words where bytes do not do."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from hwsim.kernels.memory import empty
from hwsim.kernels.simd.byte_operands import Bytes
from hwsim.kernels.simd.instructions import Vpmaddwd
from hwsim.kernels.simd.product import Driver, drive
from hwsim.kernels.simd.rows import finish_arguments
from hwsim.kernels.simd.terms import terms_of
from hwsim.kernels.simd.tiles import Tiles
from hwsim.kernels.simd.word_operands import Words
from hwsim.kernels.team import shared
from hwsim.kernels.tier import Array, Finish, Grid, Packed, Tier, apart


class Operands(Protocol):
    """One way to lay operands out for tiles."""

    @property
    def driver(self) -> Driver:
        """The kernel of its tiles."""

    @property
    def size(self) -> int:
        """Bytes of a code."""

    def takes(self, left: Grid, right: Grid) -> bool:
        """Whether their sums are exact."""

    def pack(self, right: Array, grid: Grid, left: Grid, pairs: bool) -> Packed:
        """Panels and, in `extra`: what belongs to columns (`terms`), eights of bytes in a row, whether products are in
        pairs, the run of short sums (tiles.py)."""

    def left(self, left: Array, grid: Grid, depth: int) -> Array:
        """(G1, G2, M', depth), M' at least the height of a tile: `left` itself where it can stay as it is, else a copy."""

    def row_terms(self, places: tuple[int, Array, int], groups: int, rows: int, right: Packed) -> Array:
        """int32 (G or 1, M): what belongs to rows of the left operand that lies at `places`."""


class SimdTier(Tier):
    """Products on `tiles` of bytes, else on those of `words`."""

    def __init__(self, tiles: Tiles, words: Tiles) -> None:
        self.bytes = Bytes(drive(self.name, tiles), terms_of(self.name, tiles))
        self.words = Words(drive(f"{self.name}_words", words))
        self.pairable = self.bytes.driver.paired
        self.rows = self.bytes.driver.rows

    def takes(self, left: Grid, right: Grid, depth: int) -> bool:
        """Codes of up to 16 bits, where their zero points allow it."""
        return self._operands(left, right) is not None

    def pack(self, right: Array, grid: Grid, left: Grid) -> Packed:
        """Panels, and what the columns add to each sum."""
        operands = self._operands(left, grid)
        assert operands is not None
        packed = operands.pack(right, grid, left, self.pairs and self.pairable)
        packed.extra["operands"] = operands
        return packed

    def product(
        self,
        left: Array,
        grid: Grid,
        right: Packed,
        finish: Finish | None = None,
        out: Array | None = None,
    ) -> Array:
        """All of it in one call of the driver."""
        left = apart(left)
        groups, height = left.shape[0] * left.shape[1], left.shape[2]
        operands, eights, paired, run = (right.extra[key] for key in ("operands", "eights", "paired", "run"))
        driver: Driver = operands.driver
        a = operands.left(left, grid, eights * 8 // operands.size)
        places = a.ctypes.data, _strides(a), eights
        row = operands.row_terms(places, groups, height, right)
        if out is None:
            container = np.dtype(np.int32) if finish is None else finish.container
            out = empty((groups, 1, height, right.columns), container)
        *arrays, low, high, mode, add, address = finish_arguments(finish, out)
        strides, sizes, terms = _strides(out), (height, right.columns, add, address), right.extra["terms"]

        def part(first_group: int, past_group: int, first: int, past: int) -> None:
            span = np.array((first_group, past_group, first, past), np.int64)
            driver.product(
                *places, right.data, row, terms, *arrays, low, high, mode, paired, run, *sizes, strides, span
            )

        if groups > 1:
            shared(groups, 1, lambda start, stop: part(start, stop, 0, height))
        else:
            shared(height, driver.rows, lambda start, stop: part(0, 1, start, stop))
        return out.reshape(groups, height, right.columns) if out.shape[1] == 1 else out

    def _operands(self, left: Grid, right: Grid) -> Operands | None:
        return next((form for form in (self.bytes, self.words) if form.takes(left, right)), None)


def word_tiles(lanes: int) -> Tiles:
    """Tiles of words, for CPUs with 16 registers of 8 lanes, or 32 of 16."""
    return Tiles(Vpmaddwd(lanes), height=6, vectors=2 if lanes == 8 else 4)


def _strides(groups: Array) -> npt.NDArray[np.int64]:
    """Of (G1, G2, M, N), as the driver takes them."""
    return np.array((*groups.strides[:3], groups.shape[1]), np.int64)
