"""What becomes of a tile of int32 sums: terms of rows and columns are added, and S4 (vectors.py) is applied, before it leaves
the cache.

    acc  = tile[r, c] + row[r] + column[c]
    code = clamp(S4(acc), low, high), and with a residual stream clamp(code + add[r, c], low, high)
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from hwsim.kernels.simd.code import I8, I16, I32, I64, Code, inline, vector
from hwsim.kernels.simd.vectors import LANES, codes_of, constants_of

CONTAINERS = {1: I8, 2: I16, 4: I32}
"""Element types by their bytes."""

Values = tuple[ir.Value, ...]


def raw() -> Any:
    """`finish((tile, tile_stride, rows, columns, row, column, out, stride))`: acc as it is; addresses, strides in bytes."""

    def emit(code: Code, *operands: ir.Value) -> None:
        *sums, out, stride = operands

        def finished(acc: ir.Value, r: ir.Value, j: ir.Value, _: Any, mask: ir.Value | None) -> None:
            place = code.builder.mul(j, code.constant(4 * LANES, I64))
            code.store_some(acc, code.offset(code.offset(out, code.builder.mul(r, stride)), place), mask)

        _over_sums(code, sums, lambda _: None, finished)

    return inline(emit)


def requantize(size: int, even: bool, residual: bool = False) -> Any:
    """`finish((tile, tile_stride, rows, columns, row, column, left, multiplier, offset, right, zero, low, high, out, stride,
    add))`: codes of `size` bytes; constants per column (vectors.constants_of); `add`: those of a residual stream, whose
    columns must fill whole groups.
    """
    wide, narrow = vector(I32, LANES), vector(CONTAINERS[size], LANES)

    def emit(code: Code, *operands: ir.Value) -> None:
        *both, low, high, out, stride, add = operands
        sums, starts, build = both[:6], both[6:], code.builder
        least, most = (code.splat(build.trunc(value, I32), LANES) for value in (low, high))

        def finished(acc: ir.Value, r: ir.Value, j: ir.Value, constants: Any, mask: ir.Value | None) -> None:
            where = code.offset(build.mul(r, stride), build.mul(j, code.constant(size * LANES, I64)))
            value = codes_of(code, acc, constants, least, most, even)
            if residual and mask is None:
                value = build.add(value, code.convert(code.load(code.offset(add, where), narrow), wide))
                value = code.smallest(code.largest(value, least), most)
            code.store_some(code.convert(value, narrow), code.offset(out, where), mask)

        _over_sums(code, sums, lambda j: constants_of(code, starts, j), finished)

    return inline(emit)


def _over_sums(
    code: Code, sums: list[ir.Value], per_group: Callable[[ir.Value], Any], finished: Callable[..., None]
) -> None:
    """`finished(acc, r, j, what per_group(j) gave, mask)` for every row r of every group j of columns, the last of which
    has a mask where it is not whole."""
    tile, tile_stride, rows, columns, row, column = sums
    build, kind = code.builder, vector(I32, LANES)
    width = code.constant(LANES, I64)
    whole, rest = build.udiv(columns, width), build.urem(columns, width)

    def over_rows(j: ir.Value, mask: ir.Value | None) -> None:
        place = build.mul(j, code.constant(4 * LANES, I64))
        terms, given = code.load(code.offset(column, place), kind, 4), per_group(j)

        def one(r: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            acc = code.load(code.offset(code.offset(tile, build.mul(r, tile_stride)), place), kind, 4)
            of_row = code.load(code.offset(row, build.mul(r, code.constant(4, I64))), I32, 4)
            finished(build.add(build.add(acc, terms), code.splat(of_row, LANES)), r, j, given, mask)
            return []

        code.loop(rows, [], one)

    def group(j: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        over_rows(j, None)
        return []

    with build.if_then(build.icmp_unsigned(">", whole, code.constant(0, I64))):
        code.loop(whole, [], group)
    with build.if_then(build.icmp_unsigned(">", rest, code.constant(0, I64))):
        lanes = ir.Constant(kind, list(range(LANES)))
        over_rows(whole, build.icmp_unsigned("<", lanes, code.splat(build.trunc(rest, I32), LANES)))
