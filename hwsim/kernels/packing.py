"""Operands of a product in the order in which tiles in registers read them: bytes or words, K padded with zeros.

A left operand: rows of bytes, code - low, or of words, code - zero. A right operand: panels of `vectors` registers of `lanes`
columns; within one, for every four k the four bytes of each column, or for every two k the two words. Groups may lie
along two axes, as images and heads do.
"""

import numpy as np
import numpy.typing as npt

from hwsim.kernels.kernel import inline_kernel, kernel
from hwsim.kernels.simd.byte_rows import lowered
from hwsim.kernels.simd.float_rows import contiguous
from hwsim.kernels.simd.transpose import COLUMNS, STEPS, turn

Bytes = npt.NDArray[np.uint8]
Fours = npt.NDArray[np.uint32]
"""Four bytes, or two words, in each."""
Int64 = npt.NDArray[np.int64]


def _pack_left(codes: Bytes, low: int, out: Bytes) -> None:
    """codes (G1, G2, M, K), rows contiguous, less `low`, to out (G, M', K'), M' and K' not less; the rest is 0."""
    _, inner, rows, depth = codes.shape
    less = np.uint8(low & 255)
    for g in range(out.shape[0]):
        for m in range(rows):
            source, to = contiguous(codes[g // inner, g % inner, m]), contiguous(out[g, m])
            lowered(source, less, to)
            to[depth:] = 0
        out[g, rows:] = 0


def _pack_words(codes: npt.NDArray[np.integer], zero: Int64, out: npt.NDArray[np.int16]) -> None:
    """codes (G1, G2, M, K), rows contiguous, less zero (Z, 1 or M) to out (G, M', K'), M' and K' not less; the rest is 0."""
    _, inner, rows, depth = codes.shape
    for g in range(out.shape[0]):
        less = zero[g % zero.shape[0]]
        for m in range(rows):
            source, to = contiguous(codes[g // inner, g % inner, m]), contiguous(out[g, m])
            one = np.int32(less[m % less.shape[0]])
            for k in range(depth):
                to[k] = np.int32(source[k]) - one
            to[depth:] = 0
        out[g, rows:] = 0


def _pack_word_rows(
    codes: npt.NDArray[np.integer], zero: Int64, columns: int, lanes: int, vectors: int, out: Fours
) -> None:
    """codes (G1, G2, K, N), rows contiguous, less zero (Z, 1 or N) as panels of words, out (G, panels)."""
    inner, depth = codes.shape[1], codes.shape[2]
    padded = (columns + lanes - 1) // lanes * lanes
    steps = out.shape[1] // padded
    low = np.int32(0xFFFF)
    for g in range(out.shape[0]):
        some, less, n = codes[g // inner, g % inner], zero[g % zero.shape[0]], 0
        own = np.empty(columns, np.int32)
        for j in range(columns):
            own[j] = less[j % less.shape[0]]
        while n < columns:
            width = min(vectors * lanes, padded - n)
            inside = min(width, columns - n)
            here = contiguous(own[n : n + inside])
            for step in range(steps):
                place = n * steps + step * width
                to = contiguous(out[g, place : place + width])
                if 2 * step + 1 < depth:
                    row0, row1 = (
                        contiguous(some[2 * step, n : n + inside]),
                        contiguous(some[2 * step + 1, n : n + inside]),
                    )
                    for j in range(inside):
                        first, second = np.int32(row0[j]) - here[j], np.int32(row1[j]) - here[j]
                        to[j] = np.uint32((first & low) | (second << np.int32(16)))
                elif 2 * step < depth:
                    row0 = contiguous(some[2 * step, n : n + inside])
                    for j in range(inside):
                        to[j] = np.uint32((np.int32(row0[j]) - here[j]) & low)
                else:
                    to[:inside] = 0
                to[inside:] = 0
            n += width


def _pack_floats(codes: npt.NDArray[np.integer], zero: Int64, out: npt.NDArray[np.floating]) -> None:
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


def _add_bytes(a: np.uint32, b: np.uint32) -> np.uint32:
    """The bytes of a and b added, without carries from one to the next."""
    low = np.uint32(0x7F7F7F7F)
    return np.uint32((a & low) + (b & low)) ^ ((a ^ b) & ~low)


add_bytes = inline_kernel(_add_bytes)


def _pack_columns(
    fours: Fours, plus: Fours, bias: np.uint32, columns: int, lanes: int, vectors: int, out: Fours
) -> None:
    """Right operand, four bytes of k in one, (G1, G2, N, K / 4), to out (G, panels): to every byte of group g those of
    plus[g % Z, 0 or n] are added; to those of every second four k, also where K is padded, those of `bias`."""
    inner, depth = fours.shape[1], fours.shape[3]
    padded = (columns + lanes - 1) // lanes * lanes
    steps = out.shape[1] // padded
    for g in range(out.shape[0]):
        some, to, more, n = fours[g // inner, g % inner], out[g], plus[g % plus.shape[0]], 0
        while n < columns:
            width = min(vectors * lanes, padded - n)
            for first in range(0, width, COLUMNS):
                turned = 0
                if more.shape[0] == 1 and first + COLUMNS <= min(width, columns - n):
                    odd = add_bytes(more[0], bias)
                    while turned + STEPS <= depth:
                        turn(some, n + first, turned, more[0], odd, to, n * steps + turned * width + first, width)
                        turned += STEPS
                for j in range(first, min(first + COLUMNS, width)):
                    inside = depth if n + j < columns else 0
                    c = min(n + j, columns - 1)
                    row = contiguous(some[c])
                    even = more[min(c, more.shape[0] - 1)]
                    odd = add_bytes(even, bias)
                    for step in range(turned, inside):
                        to[n * steps + step * width + j] = add_bytes(row[step], odd if step % 2 else even)
                    for step in range(max(turned, inside), steps):
                        to[n * steps + step * width + j] = bias if step % 2 else np.uint32(0)
            n += width


def _pack_rows(codes: Bytes, plus: Fours, bias: np.uint32, columns: int, lanes: int, vectors: int, out: Fours) -> None:
    """As `pack_columns`, of codes (G1, G2, K, N), rows contiguous."""
    inner, depth = codes.shape[1], codes.shape[2]
    padded = (columns + lanes - 1) // lanes * lanes
    steps = out.shape[1] // padded
    for g in range(out.shape[0]):
        some, more, n = codes[g // inner, g % inner], plus[g % plus.shape[0]], 0
        while n < columns:
            width = min(vectors * lanes, padded - n)
            inside = min(width, columns - n)
            for step in range(steps):
                place = n * steps + step * width
                to = contiguous(out[g, place : place + width])
                last = bias if step % 2 else np.uint32(0)
                have = min(4, max(0, depth - 4 * step))
                if have == 4:
                    row0, row1, row2, row3 = (
                        contiguous(some[4 * step, n : n + inside]),
                        contiguous(some[4 * step + 1, n : n + inside]),
                        contiguous(some[4 * step + 2, n : n + inside]),
                        contiguous(some[4 * step + 3, n : n + inside]),
                    )
                    for j in range(inside):
                        low = np.uint32(row0[j]) | np.uint32(row1[j]) << np.uint32(8)
                        to[j] = low | np.uint32(row2[j]) << np.uint32(16) | np.uint32(row3[j]) << np.uint32(24)
                else:
                    to[:inside] = 0
                    for i in range(have):
                        row = contiguous(some[4 * step + i, n : n + inside])
                        for j in range(inside):
                            to[j] |= np.uint32(row[j]) << np.uint32(8 * i)
                present = np.uint32((1 << 8 * have) - 1)
                if more.shape[0] == 1:
                    one = add_bytes(more[0] & present, last)
                    for j in range(inside):
                        to[j] = add_bytes(to[j], one)
                else:
                    own = contiguous(more[n : n + inside])
                    for j in range(inside):
                        to[j] = add_bytes(add_bytes(to[j], own[j] & present), last)
                to[inside:] = last
            n += width


pack_left = kernel(_pack_left)
pack_words = kernel(_pack_words)
pack_word_rows = kernel(_pack_word_rows)
pack_floats = kernel(_pack_floats)
pack_columns = kernel(_pack_columns)
pack_rows = kernel(_pack_rows)
