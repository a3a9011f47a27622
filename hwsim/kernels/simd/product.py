"""The driver of integer products on tiles in registers: one plain function, made a kernel for each tier by `drive`.

Row blocks of the left operand stay in the first caches while the panels of the right one pass by; a tile's sums leave the
first cache only as codes. Tails of rows are computed again with the tile before them, so that every tile is full.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import bound, inline_kernel, kernel
from hwsim.kernels.simd import finish
from hwsim.kernels.simd.tiles import Tiles
from hwsim.kernels.simd.vectors import LANES as WIDTH

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

BLOCK = 16
"""Tiles in a block of rows."""

FINISHED = 24
"""Rows, about, that are finished at once: they share one loading of constants, and still lie in the first cache."""

RAW, RESIDUAL, EVEN = 0, 8, 16
"""How a tile is finished: RAW, or the bytes of a code (1, 2 or 4), plus RESIDUAL (2 bytes alone), plus EVEN."""

# What `drive` puts in place of these for a tier
LANES = HEIGHT = PAIRED_HEIGHT = VECTORS = TOGETHER = 0
_none: Any = None
plain1 = plain2 = plain3 = plain4 = paired1 = paired2 = paired3 = paired4 = _none
raw = code1 = code2 = code4 = residual2 = even1 = even2 = even4 = even_residual2 = _none
begin = end_of_tiles = finish_tile = _none


def _finish_tile(
    sums: tuple[int, int, int, int, int],
    columns: int,
    constants: tuple[int, int, int, int, int],
    low: int,
    high: int,
    mode: int,
    out: int,
    step: int,
    add: int,
) -> None:
    """Sums (tile, its stride, rows, terms of rows, terms of columns) of `columns` to `out`, rows `step` bytes apart.

    All but counts and bounds are addresses; constants: left, multiplier, offset, right, zero.
    """
    tile, stride, count, row, column = sums
    head = (tile, stride, count, columns, row, column)
    rest = (*constants, low, high, out, step, add)
    if mode == 0:
        raw((*head, out, step))
    elif mode == 1:
        code1((*head, *rest))
    elif mode == 2:
        code2((*head, *rest))
    elif mode == 4:
        code4((*head, *rest))
    elif mode == 10:
        residual2((*head, *rest))
    elif mode == 17:
        even1((*head, *rest))
    elif mode == 18:
        even2((*head, *rest))
    elif mode == 20:
        even4((*head, *rest))
    else:
        even_residual2((*head, *rest))


def _product(
    a: int,
    a_strides: Int64,
    eights: int,
    b: Bytes,
    row: Int32,
    column: Int32,
    left: Int32,
    multiplier: Int32,
    offset: Int64,
    right: Int32,
    zero: Int32,
    low: int,
    high: int,
    mode: int,
    paired: bool,
    run: int,
    rows: int,
    columns: int,
    add: int,
    out: int,
    out_strides: Int64,
    span: Int64,
) -> None:
    """Groups and rows of `span` (first and past group, first and past row) of a (G, M, 8 E) @ b (G', panels), M not less
    than `rows`, nor than the height of a tile; paired, run: which tiles, and their run (tiles.py).

    Index of a group into b, row, column and the constants of S4: modulo their length. `a_strides` and `out_strides`: bytes
    per outer group, inner group, and row, and how many inner groups there are; `a`, `add` and `out` are addresses.
    """
    height = PAIRED_HEIGHT if paired else HEIGHT
    width = LANES * VECTORS
    all_vectors = (columns + LANES - 1) // LANES
    scratch = np.empty(TOGETHER * HEIGHT * (VECTORS * LANES + WIDTH) + 2 * WIDTH, np.int32)
    tile = (scratch.ctypes.data + 63) // 64 * 64
    size = 4 if mode == RAW else mode & 7
    step = out_strides[2]
    begin((0,))
    for g in range(span[0], span[1]):
        a_start = a + g // a_strides[3] * a_strides[0] + g % a_strides[3] * a_strides[1]
        b_start = b.ctypes.data + g % b.shape[0] * b.strides[0]
        row_start = row.ctypes.data + g % row.shape[0] * row.strides[0]
        column_start = column.ctypes.data + g % column.shape[0] * column.strides[0]
        q = g % multiplier.shape[0]
        l_start = left.ctypes.data + q * left.strides[0]
        m_start = multiplier.ctypes.data + q * multiplier.strides[0]
        o_start = offset.ctypes.data + q * offset.strides[0]
        r_start = right.ctypes.data + q * right.strides[0]
        z_start = zero.ctypes.data + q * zero.strides[0]
        group = g // out_strides[3] * out_strides[0] + g % out_strides[3] * out_strides[1]
        block = span[2]
        while block < span[3]:
            end = min(block + BLOCK * height, span[3])
            n = 0
            while n < columns:
                vectors = min(VECTORS, all_vectors - n // LANES)
                panel = b_start + n * 8 * eights
                some = min(vectors * LANES, columns - n)
                m = block
                while m < end:
                    start = max(0, min(m, rows - height))
                    first = start
                    past = min(m + TOGETHER * height, end)
                    while m < past:
                        first = max(0, min(m, rows - height))
                        sums = tile + (first - start) * vectors * LANES * 4
                        operands = (a_start + first * a_strides[2], a_strides[2], panel, eights, run, sums)
                        if paired:
                            if vectors == 4:
                                paired4(operands)
                            elif vectors == 3:
                                paired3(operands)
                            elif vectors == 2:
                                paired2(operands)
                            else:
                                paired1(operands)
                        elif vectors == 4:
                            plain4(operands)
                        elif vectors == 3:
                            plain3(operands)
                        elif vectors == 2:
                            plain2(operands)
                        else:
                            plain1(operands)
                        m += height
                    place = group + start * step + n * size
                    count = min(first + height, rows) - start
                    finish_tile(
                        (tile, vectors * LANES * 4, count, row_start + 4 * start, column_start + 4 * n),
                        some,
                        (l_start + 4 * n, m_start + 4 * n, o_start + 8 * n, r_start + 4 * n, z_start + 4 * n),
                        low,
                        high,
                        mode,
                        out + place,
                        step,
                        add + place,
                    )
                n += width
            block = end
    end_of_tiles((scratch.size,))  # named here, or else Numba would free it where its address was taken


@dataclass(frozen=True)
class Driver:
    """The kernel of one tier's tiles, with their shape."""

    product: Callable[..., None]
    lanes: int
    vectors: int
    height: int
    rows: int
    """What a thread of a team takes is a multiple of it; the last, where it is shorter, also makes rows of the one before."""
    depth: int
    """The bytes of a row are padded to a multiple of it."""
    paired: bool
    room: int
    """What a short sum may grow to (Tiles.room)."""


def drive(name: str, tiles: Tiles) -> Driver:
    """The kernel of the tier `name`.

    It is a copy of the function above that sees this tier's intrinsics as its globals: cached like any function of a
    module, which closures over intrinsics are not.
    """
    lanes, vectors = tiles.instruction.lanes, tiles.vectors
    seen: dict[str, Any] = {"LANES": lanes, "VECTORS": vectors, "HEIGHT": tiles.height}
    seen["PAIRED_HEIGHT"] = tiles.paired_height or tiles.height
    seen["TOGETHER"] = max(1, FINISHED // tiles.height)
    for many in range(1, 5):
        seen[f"plain{many}"] = tiles.plain(min(many, vectors))
        seen[f"paired{many}"] = tiles.paired(min(many, vectors)) if tiles.paired_height else seen[f"plain{many}"]
    seen |= {"begin": tiles.begin, "end_of_tiles": tiles.end} | finishes()
    seen["finish_tile"] = inline_kernel(bound(_finish_tile, name, seen))
    return Driver(
        kernel(bound(_product, name, seen)),
        lanes=lanes,
        vectors=vectors,
        height=tiles.height,
        rows=math.lcm(tiles.height, tiles.paired_height or 1),
        depth=tiles.depth,
        paired=tiles.paired_height > 0,
        room=tiles.room,
    )


def finishes() -> dict[str, Any]:
    """What `_finish_tile` calls, by name."""
    made = {"raw": finish.raw()}
    for size in (1, 2, 4):
        made[f"code{size}"] = finish.requantize(size, even=False)
        made[f"even{size}"] = finish.requantize(size, even=True)
    made["residual2"] = finish.requantize(2, even=False, residual=True)
    made["even_residual2"] = finish.requantize(2, even=True, residual=True)
    return made
