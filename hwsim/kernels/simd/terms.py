"""What rows and columns of byte operands add to each sum of a product (byte_operands.py), and what pairs of products have too
much of (tiles.py)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import bound, kernel
from hwsim.kernels.simd.code import I8, I32, I64, Code, inline, vector
from hwsim.kernels.simd.instructions import Instruction
from hwsim.kernels.simd.tiles import Tiles

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

# What `terms_of` puts in place of these for a tier
LANES = VECTORS = 0
_none: Any = None
column_sums = row_sums_long = row_sums_short = _none


def _column_terms(
    b: Bytes, columns: int, eights: int, depth: int, zero: Int64, rest: Int64, bias: int, paired: bool, terms: Int32
) -> None:
    """What belongs to a column: - z sum s + K z r, less the pair sums (`column_sums_of`) where `paired`.

    Panels b (G', panels), z and r of a group modulo their lengths, to terms (T, N'), which wrap as the sums do.
    """
    width = LANES * VECTORS
    all_vectors = (columns + LANES - 1) // LANES
    pair = np.empty(2 * LANES, np.int32)
    for t in range(terms.shape[0]):
        z, r = zero[t % zero.shape[0]], rest[t % rest.shape[0]]
        for v in range(all_vectors):
            n = v // VECTORS * width
            vectors = min(VECTORS, all_vectors - n // LANES)
            start = b.ctypes.data + t % b.shape[0] * b.strides[0] + n * 8 * eights + v % VECTORS * LANES * 4
            column_sums((start, vectors * LANES * 4, eights, bias, pair.ctypes.data))
            for i in range(LANES):
                more = pair[LANES + i] if paired else 0
                terms[t, v * LANES + i] = np.int32(depth * z * r - z * pair[i] - more)


def _row_terms(a: int, a_strides: Int64, eights: int, rest: Int64, bias: int, paired: bool, terms: Int32) -> None:
    """What belongs to a row: - r sum u, less the pair sums (`row_sums_of`); a (G, M, 8 E) with strides as in product.py, to
    terms (G, M)."""
    width = 4 * LANES
    long, short = 8 * eights // width, 8 * eights % width // 8
    sums = np.empty(2, np.int32)
    for g in range(terms.shape[0]):
        r = rest[g % rest.shape[0]]
        start = a + g // a_strides[3] * a_strides[0] + g % a_strides[3] * a_strides[1]
        for m in range(terms.shape[1]):
            at = start + m * a_strides[2]
            sums[0] = 0
            sums[1] = 0
            if long > 0:
                row_sums_long((at, long, bias, sums.ctypes.data))
            if short > 0:
                row_sums_short((at + long * width, short, bias, sums.ctypes.data))
            more = sums[1] if paired else 0
            terms[g, m] = np.int32(-r * sums[0] - more)


@dataclass(frozen=True)
class Terms:
    """The kernels of one tier."""

    columns: Callable[..., None]
    rows: Callable[..., None]


def terms_of(name: str, tiles: Tiles) -> Terms:
    """Copies of the functions above for the tier `name`."""
    instruction = tiles.instruction
    seen: dict[str, Any] = {"LANES": instruction.lanes, "VECTORS": tiles.vectors}
    seen |= {"column_sums": column_sums_of(instruction), "row_sums_short": row_sums_of(instruction, 8)}
    seen["row_sums_long"] = row_sums_of(instruction, 4 * instruction.lanes)
    return Terms(kernel(bound(_column_terms, name, seen)), kernel(bound(_row_terms, name, seen)))


def column_sums_of(instruction: Instruction) -> Any:
    """`sums(b, step, fours, bias, out)`: over one vector of columns in a panel whose steps are `step` bytes apart.

    int32 at `out`: lanes sums of all s; then lanes sums of s1 * s2 (`paired`; s2 as stored, with its bias).
    """
    lanes = instruction.lanes
    kind, bytes_ = vector(I32, lanes), vector(I8, 4 * lanes)

    def emit(code: Code, b: ir.Value, step: ir.Value, eights: ir.Value, bias: ir.Value, out: ir.Value) -> None:
        build = code.builder
        ones = build.bitcast(code.constant(1, bytes_), kind)
        less = code.splat(build.trunc(bias, I8), 4 * lanes)

        def body(index: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            total, products = sums
            place = code.offset(b, build.mul(index, build.mul(step, code.constant(2, I64))))
            first = code.load(place, kind, 4 * lanes)
            second = code.load(code.offset(place, step), kind, 4 * lanes)
            centred = build.bitcast(build.sub(build.bitcast(second, bytes_), less), kind)
            total = instruction.dot(code, instruction.dot(code, total, ones, first), ones, centred)
            return [total, instruction.dot(code, products, second, first)]

        zero = code.constant(0, kind)
        for index, value in enumerate(code.loop(eights, [zero, zero], body)):
            code.store(value, code.offset(out, 4 * lanes * index))

    return inline(emit)


def row_sums_of(instruction: Instruction, width: int) -> Any:
    """`sums(a, blocks, bias, out)`: over `blocks` times `width` bytes of one row, added to what is at `out`.

    int32 at `out`: the sum of all u; then that of (u1 + bias) * u2, which `paired` has too much of in a row.
    """
    lanes = width // 4
    whole_lanes = instruction.lanes
    kind, bytes_, quads = vector(I32, whole_lanes), vector(I8, 4 * whole_lanes), vector(I64, whole_lanes // 2)

    def emit(code: Code, a: ir.Value, blocks: ir.Value, bias: ir.Value, out: ir.Value) -> None:
        build = code.builder
        ones = build.bitcast(code.constant(1, bytes_), kind)
        firsts = ir.Constant(bytes_, [255 if i % 8 < 4 and i < width else 0 for i in range(4 * whole_lanes)])
        more = build.and_(code.splat(build.trunc(bias, I8), 4 * whole_lanes), firsts)
        zero = code.constant(0, kind)

        def body(index: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            place = code.offset(a, build.mul(index, code.constant(width, I64)))
            if lanes == whole_lanes:
                u = code.load(place, quads)
            else:
                u = build.insert_element(code.constant(0, quads), code.load(place, I64), code.constant(0, I32))
            second = build.bitcast(build.lshr(u, code.constant(32, quads)), kind)
            shifted = build.bitcast(build.add(build.bitcast(u, bytes_), more), kind)
            return [
                instruction.dot(code, sums[0], build.bitcast(u, kind), ones),
                instruction.dot(code, sums[1], shifted, second),
            ]

        for index, value in enumerate(code.loop(blocks, [zero, zero], body)):
            total = code.call(f"llvm.vector.reduce.add.v{whole_lanes}i32", I32, value)
            place = code.offset(out, 4 * index)
            code.store(build.add(code.load(place, I32, 4), total), place, 4)

    return inline(emit)
