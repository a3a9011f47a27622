"""Tiles of an integer product in registers: what a tier's driver (`product.py`) is made of, as Numba intrinsics.

Left operand: rows of unsigned bytes, `stride` apart, K padded to a multiple of 8. Right operand: panels of `width`
columns (packing.py), each a sequence of steps of four k: for every vector of `lanes` columns, four bytes per column. Or
words: rows of signed 16-bit integers, K padded to a multiple of 4, and steps of two k.

`plain` tiles compute sum u * s; those of `ShortSums` add sums of two products in 16 bits for `run` steps of eight bytes,
while they cannot overflow, before they widen them. `paired` ones compute the same with half of the multiplications
(S. Winograd, A new algorithm for inner product, IEEE Trans. Computers C-17, 1968): with k in two halves of every eight,
u1, u2 and s1, s2,

    sum (u1 + s2)(u2 + s1) = sum u1 s1 + sum u2 s2 + sum u1 u2 + sum s1 s2

where the last two sums belong to a row and a column alone. Additions of bytes replace multiplications, which pays where a
CPU has more adders than multipliers. Sums of operands must fit a byte, so it is for 6 bits and fewer; s2 is stored with
`bias` added, which makes u1 + s2 unsigned.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from hwsim.kernels.simd.code import I8, I16, I32, I64, Code, inline, vector
from hwsim.kernels.simd.instructions import Instruction, Pairs


def _nothing(_code: Code, _none: ir.Value) -> None:
    """No instruction."""


class Tiles:
    """Tiles of `height` rows and up to `vectors` registers on a dot-product `instruction`, `paired_height` rows where pairs
    are wanted (0: never)."""

    depth = 8
    room = 0
    """What the magnitude of a sum must not exceed that is kept in 16 bits for a run; 0: there are no such."""

    begin = inline(_nothing)
    end = inline(_nothing)

    def __init__(self, instruction: Instruction, height: int, vectors: int, paired_height: int = 0) -> None:
        self.instruction = instruction
        self.height = height
        self.vectors = vectors
        self.paired_height = paired_height

    def plain(self, vectors: int) -> Any:
        """`tile((a, stride, b, eights, run, out))`: int32 (height, vectors * lanes) at `out`, sums over 8 * eights bytes."""
        rows, instruction = self.height, self.instruction
        kind = vector(I32, instruction.lanes)

        def emit(code: Code, a: Any, stride: Any, b: Any, eights: Any, _run: Any, out: Any) -> None:
            def body(index: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                return stepped(code, rows, vectors, instruction.lanes, instruction.dot, (a, stride, b), index, sums)

            _put(code, code.loop(eights, [code.constant(0, kind)] * (rows * vectors), body), out)

        return inline(emit)

    def paired(self, vectors: int) -> Any:
        """As `plain`, of sums of operands: `out` still holds what belongs to rows and columns."""
        rows, instruction = self.paired_height, self.instruction
        lanes = instruction.lanes
        kind, bytes_, step = vector(I32, lanes), vector(I8, 4 * lanes), 4 * lanes * vectors

        def emit(code: Code, a: Any, stride: Any, b: Any, eights: Any, _run: Any, out: Any) -> None:
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


class ShortSums(Tiles):
    """`plain` tiles alone, on `instruction.pairs`, whose sums stay in 16 bits for a run."""

    room = (1 << 15) - 1
    instruction: Pairs

    def plain(self, vectors: int) -> Any:
        """As in the base."""
        rows, instruction = self.height, self.instruction
        kind, short = vector(I32, instruction.lanes), vector(I16, 2 * instruction.lanes)
        places = range(0, rows * vectors * 4 * instruction.lanes, 4 * instruction.lanes)

        def emit(code: Code, a: Any, stride: Any, b: Any, eights: Any, run: Any, out: Any) -> None:
            build = code.builder

            def add(code: Code, acc: ir.Value, u: ir.Value, s: ir.Value) -> ir.Value:
                return build.add(acc, instruction.pairs(code, u, s))

            def part(first: ir.Value) -> list[ir.Value]:
                def body(more: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                    at = build.add(first, more)
                    return stepped(code, rows, vectors, instruction.lanes, add, (a, stride, b), at, sums)

                some = code.smallest(run, build.sub(eights, first))
                return code.loop(some, [code.constant(0, short)] * len(places), body)

            def further(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                for at, sums in zip(places, part(build.mul(build.add(index, code.constant(1, I64)), run)), strict=True):
                    before = code.load(code.offset(out, at), kind, kind.count * 4)
                    code.store(build.add(before, instruction.widened(code, sums)), code.offset(out, at), kind.count * 4)
                return []

            _put(code, [instruction.widened(code, sums) for sums in part(code.constant(0, I64))], out)
            parts = build.udiv(build.sub(eights, code.constant(1, I64)), run)
            with build.if_then(build.icmp_signed(">", parts, code.constant(0, I64))):
                code.loop(parts, [], further)

        return inline(emit)


def stepped(
    code: Code,
    rows: int,
    vectors: int,
    lanes: int,
    add: Callable[..., ir.Value],
    operands: tuple[ir.Value, ir.Value, ir.Value],
    index: ir.Value,
    sums: list[ir.Value],
) -> list[ir.Value]:
    """`sums` and what the `index`-th eight bytes of each row add to them, by `add(code, sum, u, s)`."""
    (a, stride, b), kind, step = operands, vector(I32, lanes), 4 * lanes * vectors
    build = code.builder
    right = code.offset(b, build.mul(index, code.constant(2 * step, I64)))
    left = code.offset(a, build.mul(index, code.constant(8, I64)))
    for half in (0, 1):
        places = [code.offset(right, half * step + 4 * lanes * j) for j in range(vectors)]
        columns = [code.load(place, kind, 4 * lanes) for place in places]
        row = code.offset(left, 4 * half)
        fresh = []
        for r in range(rows):
            u = code.splat(code.load(row, I32), lanes)
            fresh += [add(code, sums[r * vectors + j], u, columns[j]) for j in range(vectors)]
            row = code.offset(row, stride)
        sums = fresh
    return sums


def _put(code: Code, sums: list[ir.Value], out: ir.Value) -> None:
    for index, value in enumerate(sums):
        code.store(value, code.offset(out, index * value.type.count * 4), 4 * value.type.count)
