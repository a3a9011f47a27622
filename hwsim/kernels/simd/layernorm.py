"""Integer LayerNorms (S11) row by row: mean, exact root and reciprocal, then gain, offset and S4 in vectors.

    y = code * times - mean                                 times = 2^fraction (S11a) or C * 2^fraction (S11b)
    n = (y * factor) >> down                                mean, factor, down of a row: moments.py

or, where channels have scales of their own (S11b), y = ((code << shift[c]) - zero[c]) * times - mean with times = C.

Nothing but a row's sum of squares and its products has more than 32 bits, as the caller proves: code * times and means
are below 2^30, sums of codes, factors and n below 2^31, `down` at most 32.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import inline_kernel, kernel
from hwsim.kernels.simd.code import I32, I64, Code
from hwsim.kernels.simd.moments import (
    GROUP,
    ROWS,
    aligned,
    channels_of,
    moments,
    row_sums,
    short_moments,
)
from hwsim.kernels.simd.vectors import (
    LANES,
    QUADS,
    codes_of,
    constants_of,
    load,
    narrowed,
    over_arrays,
    sides,
    store,
)

BLOCK = 32
"""Rows that are read for their moments, and once more while they are in the cache; a multiple of `GROUP`."""

Integers = npt.NDArray[Any]


def _low(code: Code, quads: ir.Value) -> ir.Value:
    """The low words, sign-extended: so LLVM knows them for 32-bit factors."""
    word = code.constant(32, QUADS)
    return code.builder.ashr(code.builder.shl(quads, word), word)


def _of(code: Code, table: ir.Value, k: ir.Value, kind: ir.Type) -> ir.Value:
    """The `k`-th of the numbers at `table`."""
    size = kind.width // 8
    return code.load(code.offset(table, code.builder.mul(k, code.constant(size, I64))), kind, size)


def _affine(even: bool, then: bool = False) -> Any:
    """`f((x, out, ...), (rows, sources, ends, ahead, means, factors, downs, groups, times, gain, offset, right, zero, qmin,
    qmax))`: codes of n * gain + offset, n as above, whose high words are shifted by `right`; addresses of rows, means,
    factors and downs per row, gain and offset per channel. The rows `ahead` are fetched.

    Behind them the addresses of shifts and zeros, where channels have scales of their own. then: S4 of those codes, with
    (channels, left, multiplier, offset, right, zero, qmin, qmax) behind instead; the constants of row k are those of the
    k-th of `channels`."""

    def emit(code: Code, forms: Any, rows: Any, *rest: Any) -> None:
        build = code.builder
        sources, ends, ahead, means, factors, downs, groups, times, gain, offset = rest[:10]
        times, right, zero, low, high = (code.splat(build.trunc(v, I32), LANES) for v in (times, *rest[10:14]))
        second = [code.splat(build.trunc(value, I32), LANES) for value in rest[20:]]
        tables = () if then else rest[14:]

        def normalised(values: ir.Value, factor: ir.Value, down: ir.Value, group: ir.Value) -> list[ir.Value]:
            place, halves = build.mul(group, code.constant(8 * LANES, I64)), []
            for side, y in enumerate(sides(code, values)):
                at = code.offset(place, 4 * LANES * side)
                scale, plus = (code.load(code.offset(table, at), QUADS, 8) for table in (gain, offset))
                n = build.lshr(build.mul(y, factor), down)
                halves.append(build.add(build.mul(_low(code, n), _low(code, scale)), plus))
            return halves

        def row(k: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            start, end, later = (_of(code, table, k, I64) for table in (sources, ends, ahead))
            mean, factor = (code.splat(_of(code, table, k, I32), LANES) for table in (means, factors))
            down = code.splat(_of(code, downs, k, I64), LANES // 2)
            constants = _channel(code, _of(code, rest[14], k, I64), rest[15:20]) if then else []

            def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                q = load(code, forms[0], start, group)
                q = aligned(code, q, channels_of(code, tables, group)) if tables else q
                y = build.sub(build.mul(q, times), mean)
                halves = normalised(y, sides(code, factor)[0], down, group)
                codes = narrowed(code, halves, right, zero, low, high, even)
                codes = codes_of(code, codes, constants, second[0], second[1], even=False) if then else codes
                store(code, forms[1], codes, end, group)
                size = code.constant(forms[0][0].element.width * LANES // 8, I64)
                code.fetch(code.offset(later, build.mul(group, size)))
                return []

            code.loop(groups, [], body)
            return []

        code.loop(rows, [], row)

    return over_arrays(emit)


def _channel(code: Code, channel: ir.Value, tables: Any) -> list[ir.Value]:
    """The constants of S4 for one channel, in all lanes; offsets are int64, the others int32."""
    sizes = (4, 4, 8, 4, 4)
    places = [code.builder.mul(channel, code.constant(size, I64)) for size in sizes]
    return constants_of(code, [code.offset(*pair) for pair in zip(tables, places, strict=True)], None)


_plain, _even, _twice = _affine(even=False), _affine(even=True), _affine(even=False, then=True)


def _find(x: Integers, start: int, places: Integers) -> None:
    """The addresses of the `BLOCK` rows of x (O, R, C) from `start` on, as far as there are rows."""
    inner = x.shape[1]
    i, r = start // inner, start % inner
    for k in range(min(BLOCK, x.shape[0] * inner - start)):
        places[k] = x.ctypes.data + i * x.strides[0] + r * x.strides[1]
        r += 1
        if r == inner:
            i, r = i + 1, 0


_found = inline_kernel(_find)


def _prepare(
    x: Integers,
    out: Integers,
    start: int,
    sources: Integers,
    ends: Integers,
    sums: tuple[Integers, Integers],
    means: Integers,
    factors: Integers,
    downs: Integers,
    roots: tuple[int, int, int, int, int],
    short: bool,
    apart: tuple[int, ...],
) -> tuple[int, tuple[int, int, int, int, int, int]]:
    """How many of the rows of x from `start` on are a block, and the addresses of its tables: of the rows, of those of out,
    of the rows of the next block, means, factors and downs; roots: columns, fraction, epsilon, bits, n_bits; apart: the
    addresses of shifts and zeros, or none."""
    here, ahead = sources[start // BLOCK % 2], sources[1 - start // BLOCK % 2]
    _found(x, start + BLOCK, ahead)
    _found(out, start, ends)
    count = min(BLOCK, x.shape[0] * x.shape[1] - start)
    totals, squares = sums
    for k in range(0, count, ROWS):
        starts = (here[k:].ctypes.data, totals[k:].ctypes.data, squares[k:].ctypes.data)
        row_sums((x,), (*starts, roots[0] // LANES, *apart))
    for k in range(0, count, GROUP):
        places = (totals[k:].ctypes.data, squares[k:].ctypes.data)
        ends_of = (means[k:].ctypes.data, factors[k:].ctypes.data, downs[k:].ctypes.data)
        if short:
            short_moments((x,), (*places, *ends_of, *roots))
        else:
            moments((x,), (*places, *ends_of, *roots))
    tables = (here.ctypes.data, ends.ctypes.data, ahead.ctypes.data, means.ctypes.data, factors.ctypes.data)
    return count, (*tables, downs.ctypes.data)


_prepared = inline_kernel(_prepare)


def _layernorm_rows(
    x: Integers,
    times: int,
    fraction: int,
    epsilon: int,
    bits: int,
    n_bits: int,
    short: bool,
    apart: tuple[int, ...],
    gain: Integers,
    offset: Integers,
    right: int,
    zero: int,
    qmin: int,
    qmax: int,
    even: bool,
    out: Integers,
) -> None:
    """x (O, R, C), rows of C side by side, C a multiple of 16, into out. gain, offset: int64 (C,), each sixteen in
    `ORDER`. short: S11b. apart: the addresses of shifts and zeros, int32 (C,), or none where all channels have the same:
    a zero point of theirs moves the mean alone."""
    rows, columns = x.shape[0] * x.shape[1], x.shape[2]
    sources, ends = np.full((2, BLOCK), x.ctypes.data, np.int64), np.empty(BLOCK, np.int64)
    means, factors, downs = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int64)
    sums = np.zeros(BLOCK, np.int32), np.zeros(BLOCK, np.int64)
    roots = (columns, fraction, epsilon, bits, n_bits)
    affine = (gain.ctypes.data, offset.ctypes.data, right, zero, qmin, qmax)
    _found(x, 0, sources[0])
    for start in range(0, rows, BLOCK):
        count, tables = _prepared(x, out, start, sources, ends, sums, means, factors, downs, roots, short, apart)
        if even:
            _even((x, out), (count, *tables, columns // LANES, times, *affine, *apart))
        else:
            _plain((x, out), (count, *tables, columns // LANES, times, *affine, *apart))


def _layernorm_codes(
    x: Integers,
    times: int,
    fraction: int,
    epsilon: int,
    bits: int,
    n_bits: int,
    short: bool,
    gain: Integers,
    offset: Integers,
    right: int,
    zero: int,
    qmin: int,
    qmax: int,
    left2: Integers,
    multiplier2: Integers,
    offset2: Integers,
    right2: Integers,
    zero2: Integers,
    qmin2: int,
    qmax2: int,
    out: Integers,
) -> None:
    """As `layernorm_rows`, without ties or channels apart; then S4 with the constants (R,), or (1,) for all, as in
    rescale.py's runs."""
    rows, columns, inner = x.shape[0] * x.shape[1], x.shape[2], min(x.shape[1], left2.shape[0])
    sources, ends = np.full((2, BLOCK), x.ctypes.data, np.int64), np.empty(BLOCK, np.int64)
    means, factors, downs = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int64)
    sums, channels = (np.zeros(BLOCK, np.int32), np.zeros(BLOCK, np.int64)), np.empty(BLOCK, np.int64)
    roots = (columns, fraction, epsilon, bits, n_bits)
    affine = (gain.ctypes.data, offset.ctypes.data, right, zero, qmin, qmax)
    starts = (left2.ctypes.data, multiplier2.ctypes.data, offset2.ctypes.data, right2.ctypes.data, zero2.ctypes.data)
    _found(x, 0, sources[0])
    for start in range(0, rows, BLOCK):
        count, tables = _prepared(x, out, start, sources, ends, sums, means, factors, downs, roots, short, ())
        for k in range(count):
            channels[k] = (start + k) % inner
        second = (channels.ctypes.data, *starts, qmin2, qmax2)
        _twice((x, out), (count, *tables, columns // LANES, times, *affine, *second))


layernorm_rows = kernel(_layernorm_rows)
layernorm_codes = kernel(_layernorm_codes)
