"""Tiles of an integer product in registers: what a tier's driver (`product.py`) is made of, as Numba intrinsics.

Left operand: rows of unsigned bytes, `stride` apart, K padded to a multiple of 8. Right operand: panels of `width`
columns (packing.py), each a sequence of steps of four k: for every vector of `lanes` columns, four bytes per column.

`plain` tiles compute sum u * s. `paired` ones compute the same with half of the multiplications (S. Winograd, A new
algorithm for inner product, IEEE Trans. Computers C-17, 1968): with k in two halves of every eight, u1, u2 and s1, s2,

    sum (u1 + s2)(u2 + s1) = sum u1 s1 + sum u2 s2 + sum u1 u2 + sum s1 s2

where the last two sums belong to a row and a column alone. Additions of bytes replace multiplications, which pays where a
CPU has more adders than multipliers. Sums of operands must fit a byte, so it is for 6 bits and fewer; s2 is stored with
`bias` added, which makes u1 + s2 unsigned.
"""

from typing import Any

from llvmlite import ir

from hwsim.kernels.simd.code import I8, I32, I64, Code, inline, vector
from hwsim.kernels.simd.instructions import Instruction


def _nothing(_code: Code, _none: ir.Value) -> None:
    """No instruction."""


class Tiles:
    """Tiles of `height` rows and up to `vectors` registers on a dot-product `instruction`, `paired_height` rows where pairs
    are wanted (0: never)."""

    depth = 8
    begin = inline(_nothing)
    end = inline(_nothing)

    def __init__(self, instruction: Instruction, height: int, vectors: int, paired_height: int = 0) -> None:
        self.instruction = instruction
        self.height = height
        self.vectors = vectors
        self.paired_height = paired_height

    def plain(self, vectors: int) -> Any:
        """`tile((a, stride, b, eights, out))`: int32 (height, vectors * lanes) at `out`, sums over 8 * eights of k."""
        rows, instruction = self.height, self.instruction
        lanes = instruction.lanes
        kind, step = vector(I32, lanes), 4 * lanes * vectors

        def emit(code: Code, a: ir.Value, stride: ir.Value, b: ir.Value, eights: ir.Value, out: ir.Value) -> None:
            build = code.builder

            def body(index: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                right = code.offset(b, build.mul(index, code.constant(2 * step, I64)))
                left = code.offset(a, build.mul(index, code.constant(8, I64)))
                for half in (0, 1):
                    places = [code.offset(right, half * step + 4 * lanes * j) for j in range(vectors)]
                    columns = [code.load(place, kind, 4 * lanes) for place in places]
                    row = code.offset(left, 4 * half)
                    fresh = []
                    for r in range(rows):
                        u = code.splat(code.load(row, I32), lanes)
                        fresh += [instruction.dot(code, sums[r * vectors + j], u, columns[j]) for j in range(vectors)]
                        row = code.offset(row, stride)
                    sums = fresh
                return sums

            _put(code, code.loop(eights, [code.constant(0, kind)] * (rows * vectors), body), out)

        return inline(emit)

    def paired(self, vectors: int) -> Any:
        """As `plain`, of sums of operands: `out` still holds what belongs to rows and columns."""
        rows, instruction = self.paired_height, self.instruction
        lanes = instruction.lanes
        kind, bytes_, step = vector(I32, lanes), vector(I8, 4 * lanes), 4 * lanes * vectors

        def emit(code: Code, a: ir.Value, stride: ir.Value, b: ir.Value, eights: ir.Value, out: ir.Value) -> None:
            build = code.builder

            def body(index: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                right = code.offset(b, build.mul(index, code.constant(2 * step, I64)))
                row = code.offset(a, build.mul(index, code.constant(8, I64)))
                places = [code.offset(right, 4 * lanes * j) for j in range(2 * vectors)]
                columns = [code.load(place, bytes_, 4 * lanes) for place in places]
                fresh = []
                for r in range(rows):
                    words = [code.splat(code.load(code.offset(row, 4 * half), I32), lanes) for half in (0, 1)]
                    first, second = (build.bitcast(word, bytes_) for word in words)
                    for j in range(vectors):
                        u = build.bitcast(build.add(first, columns[vectors + j]), kind)
                        s = build.bitcast(build.add(second, columns[j]), kind)
                        fresh.append(instruction.dot(code, sums[r * vectors + j], u, s))
                    row = code.offset(row, stride)
                return fresh

            _put(code, code.loop(eights, [code.constant(0, kind)] * (rows * vectors), body), out)

        return inline(emit)


def _put(code: Code, sums: list[ir.Value], out: ir.Value) -> None:
    for index, value in enumerate(sums):
        code.store(value, code.offset(out, index * value.type.count * 4), 4 * value.type.count)


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
