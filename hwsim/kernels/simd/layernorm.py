"""Integer LayerNorm (S11a) row by row: sum, centred squares, exact root, reciprocal, then gain, offset and S4 in vectors.

Nothing but a row's sum of squares and its products has more than 32 bits, as the caller proves: |q| < 2^30 with
q = (code - zero) << fraction, sums below 2^31, factors below 2^31.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.code import I32, I64, Code
from hwsim.kernels.simd.vectors import (
    LANES,
    QUADS,
    WORDS,
    codes_of,
    constants_of,
    load,
    narrowed,
    over_arrays,
    sides,
    store,
)

BLOCK = 32
"""Rows whose roots and quotients, slow each but independent, are computed side by side."""

Integers = npt.NDArray[Any]


def _sums(code: Code, forms: Any, start: Any, groups: Any, end: Any) -> None:
    """`f((x, sums), (source, groups, target))`: int64 sums of a row and of its squares, both at `target`."""
    build = code.builder

    def body(group: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        x = load(code, forms[0], start, group)
        squares = [build.add(sums, build.mul(half, half)) for sums, half in zip(state[1:], sides(code, x), strict=True)]
        return [build.add(state[0], x), *squares]

    zeros = [code.constant(0, kind) for kind in (WORDS, QUADS, QUADS)]
    total, first, second = code.loop(groups, zeros, body)
    code.store(build.sext(code.call(f"llvm.vector.reduce.add.v{LANES}i32", I32, total), I64), end)
    squares = code.call(f"llvm.vector.reduce.add.v{LANES // 2}i64", I64, build.add(first, second))
    code.store(squares, code.offset(end, 8))


def _centred(code: Code, form: Any, start: Any, group: Any, fraction: ir.Value, mean: ir.Value) -> ir.Value:
    return code.builder.sub(code.builder.shl(load(code, form, start, group), fraction), mean)


def _affine(even: bool, then: bool = False) -> Any:
    """`f((x, out), (source, target, groups, fraction, mean, factor, down, gain, offset, right, zero, qmin, qmax))`:
    codes of ((y * factor) >> down) * gain + offset, whose high words are shifted by `right`; gain, offset per channel.

    then: S4 of those codes, with the constants of one row (left, multiplier, offset, right, zero, qmin, qmax) behind."""

    def emit(code: Code, forms: Any, start: Any, end: Any, groups: Any, *rest: Any) -> None:
        build = code.builder
        gain, offset = rest[4:6]
        down = code.splat(rest[3], LANES // 2)
        up, centre, factor, right, zero, low, high = (
            code.splat(build.trunc(value, I32), LANES) for value in (*rest[:3], *rest[6:10])
        )
        constants = constants_of(code, rest[10:15], None) if then else []
        ends = [code.splat(build.trunc(value, I32), LANES) for value in rest[15:]]
        factors, word = sides(code, factor), code.constant(32, QUADS)

        def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            place = build.mul(group, code.constant(4 * LANES, I64))
            gains = sides(code, code.load(code.offset(gain, place), WORDS, 4))
            at = code.offset(offset, build.add(place, place))
            offsets = (code.load(at, QUADS, 8), code.load(code.offset(at, 4 * LANES), QUADS, 8))
            halves = []
            sources = sides(code, _centred(code, forms[0], start, group, up, centre))
            for y, by, times, plus in zip(sources, factors, gains, offsets, strict=True):
                n = build.ashr(build.mul(y, by), down)
                n = build.ashr(build.shl(n, word), word)  # so that LLVM knows it for a 32-bit factor
                halves.append(build.add(build.mul(n, times), plus))
            codes = narrowed(code, halves, right, zero, low, high, even)
            codes = codes_of(code, codes, constants, ends[0], ends[1], even=False) if then else codes
            store(code, forms[1], codes, end, group)
            return []

        code.loop(groups, [], body)

    return over_arrays(emit)


_row_sums = over_arrays(_sums)
_plain, _even, _twice = _affine(even=False), _affine(even=True), _affine(even=False, then=True)


def _exact_root(value: int | np.int64) -> np.int64:
    """The largest r with r * r <= value < 2^62: float64's root is wrong by 1 at most, which two comparisons find."""
    root = np.int64(math.sqrt(np.float64(value)))
    if root * root > value:
        root -= np.int64(1)
    if (root + np.int64(1)) * (root + np.int64(1)) <= value:
        root += np.int64(1)
    return root


exact_root = kernel(_exact_root)


def _statistics(
    x: Integers,
    start: int,
    count: int,
    fraction: int,
    epsilon: int,
    reciprocal_bits: int,
    means: Integers,
    factors: Integers,
) -> None:
    """The means of `count` rows of x (O, R, C) from `start` on, and floor(2^reciprocal_bits / root)."""
    inner, columns = x.shape[1], x.shape[2]
    sums = np.empty((BLOCK, 2), np.int64)
    for k in range(count):
        row = x[(start + k) // inner, (start + k) % inner]
        _row_sums((x, sums), (row.ctypes.data, columns // LANES, sums[k].ctypes.data))
    for k in range(count):
        total = sums[k, 0] << fraction
        mean = (2 * total + columns) // (2 * columns)
        square = (sums[k, 1] << (2 * fraction)) - 2 * mean * total + columns * mean * mean
        root = exact_root(square + epsilon)
        factors[k] = (np.int64(1) << np.int64(reciprocal_bits)) // (root if root > 0 else np.int64(1))
        means[k] = mean


statistics = kernel(_statistics)


def _layernorm_rows(
    x: Integers,
    fraction: int,
    epsilon: int,
    reciprocal_bits: int,
    down: int,
    gain: Integers,
    offset: Integers,
    right: int,
    zero: int,
    qmin: int,
    qmax: int,
    even: bool,
    out: Integers,
) -> None:
    """x (O, R, C), rows of C side by side, C a multiple of 16, into out. gain: int32 (C,); offset: int64 (C,), each
    sixteen in `ORDER`. A zero point of x moves its mean alone, so none is asked for."""
    inner, groups = x.shape[1], x.shape[2] // LANES
    means, factors = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    affine = (gain.ctypes.data, offset.ctypes.data, right, zero, qmin, qmax)
    for start in range(0, x.shape[0] * inner, BLOCK):
        count = min(BLOCK, x.shape[0] * inner - start)
        statistics(x, start, count, fraction, epsilon, reciprocal_bits, means, factors)
        for k in range(count):
            i, r = (start + k) // inner, (start + k) % inner
            places = (x[i, r].ctypes.data, out[i, r].ctypes.data, groups, fraction, means[k], factors[k], down)
            if even:
                _even((x, out), (*places, *affine))
            else:
                _plain((x, out), (*places, *affine))


def _layernorm_codes(
    x: Integers,
    fraction: int,
    epsilon: int,
    reciprocal_bits: int,
    down: int,
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
    """As `layernorm_rows`, without ties; then S4 with the constants (R,), or (1,) for all, as in rescale.py's runs."""
    inner, groups = x.shape[1], x.shape[2] // LANES
    means, factors = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    affine = (gain.ctypes.data, offset.ctypes.data, right, zero, qmin, qmax)
    for start in range(0, x.shape[0] * inner, BLOCK):
        count = min(BLOCK, x.shape[0] * inner - start)
        statistics(x, start, count, fraction, epsilon, reciprocal_bits, means, factors)
        for k in range(count):
            i, r = (start + k) // inner, (start + k) % inner
            places = (x[i, r].ctypes.data, out[i, r].ctypes.data, groups, fraction, means[k], factors[k], down)
            c = min(r, left2.shape[0] - 1)
            first = (left2[c:].ctypes.data, multiplier2[c:].ctypes.data, offset2[c:].ctypes.data)
            second = (*first, right2[c:].ctypes.data, zero2[c:].ctypes.data, qmin2, qmax2)
            _twice((x, out), (*places, *affine, *second))


layernorm_rows = kernel(_layernorm_rows)
layernorm_codes = kernel(_layernorm_codes)
