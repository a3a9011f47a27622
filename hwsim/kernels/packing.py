"""Operands of a product in the order in which tiles in registers read them: bytes, K padded with zeros.

A left operand: rows of code - low. A right operand: panels of `vectors` registers of `lanes` columns; within one, for every
four k the four bytes of each column.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import kernel

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]


def _pack_left(codes: Bytes, low: int, out: Bytes) -> None:
    """codes (G, M, K), any strides, less `low`, to out (G, M', K'), M' and K' not less; the rest is 0."""
    groups, rows, depth = codes.shape
    less = np.uint8(low & 255)
    for g in range(groups):
        for m in range(rows):
            source, to = codes[g, m], out[g, m]
            for k in range(depth):
                to[k] = source[k] - less
            to[depth:] = 0
        out[g, rows:] = 0


def _pack_floats(codes: npt.NDArray[np.integer], zero: npt.NDArray[np.int64], out: npt.NDArray[np.floating]) -> None:
    """codes (G, A, B) less zero (Z, 1 or A, 1 or B) as floats to out (G, A, B), which hold them exactly."""
    for g in range(codes.shape[0]):
        less = zero[g % zero.shape[0]]
        for a in range(codes.shape[1]):
            row, source, to = less[a % less.shape[0]], codes[g, a], out[g, a]
            if row.shape[0] == 1 and codes.itemsize < 4:  # 32 bits hold the difference
                one = np.int32(row[0])
                for b in range(codes.shape[2]):
                    to[b] = np.int32(source[b]) - one
            else:
                for b in range(codes.shape[2]):
                    to[b] = np.int64(source[b]) - row[b if row.shape[0] > 1 else 0]


def _pack_columns(words: Words, columns: int, lanes: int, vectors: int, out: Words) -> None:
    """Right operand as words of four k, (G, N, K / 4), to out (G, panels)."""
    padded = (columns + lanes - 1) // lanes * lanes
    steps = out.shape[1] // padded
    for g in range(out.shape[0]):
        to, n = out[g], 0
        while n < columns:
            width = min(vectors * lanes, padded - n)
            for j in range(width):
                place = n * steps + j
                inside = words.shape[2] if n + j < columns else 0
                row = words[g, min(n + j, columns - 1)]
                for step in range(inside):
                    to[place] = row[step]
                    place += width
                for _ in range(inside, steps):
                    to[place] = 0
                    place += width
            n += width


def _pack_rows(words: Words, columns: int, lanes: int, vectors: int, out: Words) -> None:
    """As `pack_columns`, of (G, K / 4, N)."""
    padded = (columns + lanes - 1) // lanes * lanes
    steps = out.shape[1] // padded
    for g in range(out.shape[0]):
        n = 0
        while n < columns:
            width = min(vectors * lanes, padded - n)
            some = min(width, columns - n)
            for step in range(steps):
                place = n * steps + step * width
                to = out[g, place : place + width]
                inside = some if step < words.shape[1] else 0
                row = words[g, min(step, words.shape[1] - 1), n : n + some]
                to[:inside] = row[:inside]
                to[inside:] = 0
            n += width


def _interleave(codes: Bytes, out: Words) -> None:
    """Rows of codes (G, K, N) four by four into words: out (G, ceil(K / 4), N), the bytes of what is missing 0."""
    groups, depth, columns = codes.shape
    for g in range(groups):
        for step in range(depth // 4):
            row0, row1, row2, row3 = (
                codes[g, 4 * step],
                codes[g, 4 * step + 1],
                codes[g, 4 * step + 2],
                codes[g, 4 * step + 3],
            )
            to = out[g, step]
            for n in range(columns):
                low = np.uint32(row0[n]) | np.uint32(row1[n]) << np.uint32(8)
                to[n] = low | np.uint32(row2[n]) << np.uint32(16) | np.uint32(row3[n]) << np.uint32(24)
        if depth % 4:
            to = out[g, depth // 4]
            to[:] = 0
            for i in range(depth % 4):
                row = codes[g, depth // 4 * 4 + i]
                for n in range(columns):
                    to[n] |= np.uint32(row[n]) << np.uint32(8 * i)


def _add_bias(columns: int, lanes: int, vectors: int, bias: int, out: Bytes) -> None:
    """`bias` to the second four of every eight k in panels (G, panels)."""
    padded = (columns + lanes - 1) // lanes * lanes
    steps = out.shape[1] // (4 * padded)
    for g in range(out.shape[0]):
        n = 0
        while n < columns:
            width = min(vectors * lanes, padded - n)
            for step in range(1, steps, 2):
                part = out[g, 4 * (n * steps + step * width) : 4 * (n * steps + (step + 1) * width)]
                for i in range(part.shape[0]):
                    part[i] += np.uint8(bias)
            n += width


pack_left = kernel(_pack_left)
pack_floats = kernel(_pack_floats)
pack_columns = kernel(_pack_columns)
pack_rows = kernel(_pack_rows)
interleave = kernel(_interleave)
add_bias = kernel(_add_bias)
