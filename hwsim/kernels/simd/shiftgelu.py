"""ShiftGelu (S13c) row by row in vectors: two passes, the maximum and the codes; nothing has more than 32 bits.

    e(q) = m * 2^-k,  m = (r >> 1) + unit,  k = floor(x / unit),  r = k * unit - x          x = -p of S13c
    w    = floor(2^power * e / (e + e(0)))                                                   power = sigmoid_bits - 1

With what the caller proves, p of 32 bits before its limit, x <= halvings * unit < 2^21, unit * 2^power < 2^24, power <= 16,
|q| * 2^power and half below 2^30, floats of 24 bits make both quotients, and integers of them:
  - (x + 1/2) / unit is 1 / (2 unit) or more away from whole numbers; the rounded reciprocal of unit and the product with it
    lose less than 2^-22.9 of it, which is less than that distance, so that k is its whole part;
  - m is at least 1 and exact, and so is e, as k only lowers its exponent;
  - sum, quotient and product lose less than 2^-22 of 2^power e / (e + e(0)), and a factor of 1 + 2^-20 makes up for it: the
    whole part g is w, or w + 1, as 2^-19 of it is less than 1;
  - g is w + 1 if g * e(0) > (2^power - g) * e. g is at most 2^power: both products are exact.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.code import F32, I32, I64, Code, vector
from hwsim.kernels.simd.vectors import LANES, WORDS, load, over_arrays, store

FLOATS = vector(F32, LANES)
SPARE = 1.0 + 2.0**-20
FRACTION = 23
"""Where the exponent of a float begins."""

Integers = npt.NDArray[Any]


def _row(code: Code, forms: Any, start: Any, end: Any, columns: Any, *rest: Any) -> None:
    """`f((x, out, ...), (start, end, columns, zero, fraction, unit, lowest, power, half, odd, shift, qmin, qmax))`: one row
    of 16 columns or more. A code is (q * w + half) >> shift, with a half that is one more where the code without it is odd
    and `odd` is 1. Where the row ends, a vector overlaps the one before it."""
    build, (source, target) = code.builder, forms[:2]
    scalars = [build.trunc(value, I32) for value in rest]
    zero, fraction, unit, lowest, power, half, odd, shift, low, high = (code.splat(v, LANES) for v in scalars)
    groups = build.ashr(build.add(columns, code.constant(LANES - 1, I64)), code.constant(4, I64))
    last, none = build.sub(columns, code.constant(LANES, I64)), code.constant(0, I64)
    compare, extend, sign = (
        (build.icmp_signed, build.sext, "s") if source[1] else (build.icmp_unsigned, build.zext, "u")
    )

    def at(place: ir.Value, group: ir.Value, form: Any) -> ir.Value:
        first = code.smallest(build.mul(group, code.constant(LANES, I64)), last)
        return code.offset(place, build.mul(first, code.constant(form[0].element.width // 8, I64)))

    def rise(group: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        some = code.load(at(start, group, source), source[0])
        return [build.select(compare(">", some, state[0]), some, state[0])]

    (most,) = code.loop(groups, [code.load(start, source[0])], rise)
    name = f"llvm.vector.reduce.{sign}max.v{LANES}i{source[0].element.width}"
    highest = extend(code.call(name, source[0].element, most), I64)
    top = code.splat(build.trunc(code.largest(highest, rest[0]), I32), LANES)
    exponential = _exponential(code, fraction, unit, lowest)
    weights = _weights(code, exponential(build.sub(zero, top)), power)

    def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        q = load(code, source, at(start, group, source), none)
        product = build.mul(build.sub(q, zero), weights(exponential(build.sub(q, top))))
        more = build.and_(build.ashr(product, shift), odd)
        codes = build.ashr(build.add(build.add(product, half), more), shift)
        store(code, target, code.smallest(code.largest(codes, low), high), at(end, group, target), none)
        return []

    code.loop(groups, [], body)


def _exponential(code: Code, fraction: ir.Value, unit: ir.Value, lowest: ir.Value) -> Any:
    """Differences to the maximum, none of them positive, to m * 2^-k as floats."""
    build = code.builder
    shifts = [code.constant(bits, WORDS) for bits in (1, 4, FRACTION)]
    inverse = build.fdiv(code.constant(1.0, FLOATS), build.sitofp(unit, FLOATS))

    def exponential(difference: ir.Value) -> ir.Value:
        v = build.shl(difference, fraction)
        p = build.sub(build.add(v, build.ashr(v, shifts[0])), build.ashr(v, shifts[1]))
        p = code.largest(p, lowest)
        middle = build.fsub(code.constant(0.5, FLOATS), build.sitofp(p, FLOATS))
        k = build.fptosi(build.fmul(middle, inverse), WORDS)
        m = build.add(build.ashr(build.add(p, build.mul(k, unit)), shifts[0]), unit)
        bits = build.bitcast(build.sitofp(m, FLOATS), WORDS)
        return build.bitcast(build.sub(bits, build.shl(k, shifts[2])), FLOATS)

    return exponential


def _weights(code: Code, at_zero: ir.Value, power: ir.Value) -> Any:
    """Exponentials to w, where that of 0 is `at_zero`."""
    build = code.builder
    most = build.sitofp(build.shl(code.constant(1, WORDS), power), FLOATS)
    raised = build.fmul(most, code.constant(SPARE, FLOATS))

    def weights(e: ir.Value) -> ir.Value:
        guess = build.fptosi(build.fmul(build.fdiv(e, build.fadd(e, at_zero)), raised), WORDS)
        real = build.sitofp(guess, FLOATS)
        above = build.fcmp_ordered(">", build.fmul(real, at_zero), build.fmul(build.fsub(most, real), e))
        return build.add(guess, build.sext(above, WORDS))

    return weights


_codes = over_arrays(_row)


def _shift_gelu_rows(
    x: Integers,
    zero: int,
    fraction: int,
    unit: int,
    lowest: int,
    power: int,
    half: int,
    odd: int,
    shift: int,
    qmin: int,
    qmax: int,
    out: Integers,
) -> None:
    """Codes x (R, C), side by side in memory, into out (R, C); lowest = -halvings * unit. A short row is filled up with its
    last code, which moves no maximum."""
    columns = x.shape[1]
    short = columns < LANES
    source, target = np.empty(LANES, x.dtype), np.empty(LANES, out.dtype)
    numbers = (max(columns, LANES), zero, fraction, unit, lowest, power, half, odd, shift, qmin, qmax)
    for r in range(x.shape[0]):
        start, end = x[r].ctypes.data, out[r].ctypes.data
        if short:
            start, end = source.ctypes.data, target.ctypes.data
            for c in range(LANES):
                source[c] = x[r, min(c, columns - 1)]
        _codes((x, out, source, target), (start, end, *numbers))
        for c in range(columns if short else 0):
            out[r, c] = target[c]


shift_gelu_rows = kernel(_shift_gelu_rows)
