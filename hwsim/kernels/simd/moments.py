"""Means of rows, and reciprocals of the roots of their centred squares (S11), exactly: four rows side by side.

    total  = sum of q,  square = sum of q * q                        q = code << fraction
    mean   = floor((2 * total + C) / (2 * C))                                                                    (S11a)
    root   = max(isqrt(sum (q - mean)^2 + epsilon), 1)
    factor = floor(2^bits / root),  down = bits - n_bits

    mean   = total                                                                                               (S11b)
    root   = max(isqrt(C * square - total^2 + epsilon), 1)
    factor = min(floor(2^N / root), 2^bits - 1),  down = N - n_bits,  N = bits of root - 1 + bits

A negative `down` of S11b goes into the factor, which is then 2^n_bits at most. Its sums may be of
(code << shift[c]) - zero[c], with a fraction of 0.

Quotients and roots are those of float64, made exact. With what the caller proves, C * max |q|^2 < 2^60, C * max |q| < 2^46,
max |q| < 2^30, or C * max |q| < 2^30 in S11b, the operand of the root below 2^62 and factors below 2^31:
  - a quotient that is not whole is 1 / divisor or more away from whole numbers, and its float rounds by 2^-53 of it or
    less: for the mean, less than that distance, so that its floor is right;
  - the float of a factor may have rounded up to a whole number, which its product with the root tells; it is never below;
  - the root may round up to a whole number, which its square tells; it is never below: the float of r * r loses 2^-53 of it
    or less, so that its root is less than half a step of float64 away from r, or r is a power of two and nothing is lost.
"""

from typing import Any

from llvmlite import ir

from hwsim.kernels.simd.code import F64, I32, I64, Code, vector
from hwsim.kernels.simd.vectors import LANES, QUADS, WORDS, load, over_arrays, sides

ROWS = 4
"""Rows whose sums are in registers at once."""
GROUP = 8
"""Rows whose roots and quotients are computed at once."""

FLOATS, NARROW = vector(F64, GROUP), vector(I32, GROUP)
MOST = float(2**31 - 1)


def _sums(
    code: Code,
    forms: Any,
    starts: ir.Value,
    totals: ir.Value,
    squares: ir.Value,
    groups: ir.Value,
    *tables: ir.Value,
) -> None:
    """`f((x, ...), (starts, totals, squares, groups))`: sums of the codes (int32) and of their squares (int64) of the rows
    of 16 * groups at the four addresses at `starts`; with the addresses of shifts and zeros behind, of q as above."""
    build = code.builder
    places = [code.load(code.offset(starts, 8 * row), I64, 8) for row in range(ROWS)]
    narrow = not tables and forms[0][0].element.width < 16 + forms[0][1]

    def body(group: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        values = [load(code, forms[0], place, group) for place in places]
        if tables:
            constants = channels_of(code, tables, group)
            values = [aligned(code, x, constants) for x in values]
        added = [build.add(sums, x) for sums, x in zip(state[:ROWS], values, strict=True)]
        return [*added, *(_squares(code, x, narrow, sums) for sums, x in zip(state[ROWS:], values, strict=True))]

    zeros = [code.constant(0, kind) for kind in [WORDS] * ROWS + [QUADS] * ROWS]
    state = code.loop(groups, zeros, body)
    code.store(_joined(code, state[:ROWS]), totals, 4)
    code.store(_joined(code, state[ROWS:]), squares, 8)


def channels_of(code: Code, tables: tuple[ir.Value, ...], group: ir.Value) -> list[ir.Value]:
    """Shifts and zeros, int32, of the `group`-th sixteen channels."""
    place = code.builder.mul(group, code.constant(4 * LANES, I64))
    return [code.load(code.offset(table, place), WORDS, 4) for table in tables]


def aligned(code: Code, x: ir.Value, constants: list[ir.Value]) -> ir.Value:
    """Sixteen (x << shift) - zero."""
    return code.builder.sub(code.builder.shl(x, constants[0]), constants[1])


def _squares(code: Code, x: ir.Value, narrow: bool, sums: ir.Value) -> ir.Value:
    """`sums` and the squares of sixteen x, those of narrow ones first added in pairs, which 32 bits without a sign hold."""
    build = code.builder
    if narrow:
        products = build.mul(x, x)
        first, second = (code.shuffle(products, range(side, LANES, 2)) for side in range(2))
        return build.add(sums, build.zext(build.add(first, second), QUADS))
    for half in sides(code, x):
        sums = build.add(sums, build.mul(half, half))
    return sums


def _joined(code: Code, rows: list[ir.Value]) -> ir.Value:
    """The sum of the lanes of each of four vectors; what CPUs shuffle at once are 16 bytes."""
    count, near = rows[0].type.count, rows[0].type.element.width // 32

    def fold(a: ir.Value, b: ir.Value, lanes: tuple[int, ...], step: int) -> ir.Value:
        here = [block + lane for block in range(0, count, 4) for lane in lanes]
        return code.builder.add(code.shuffle(a, here, b), code.shuffle(a, [lane + step for lane in here], b))

    first, second = (fold(a, b, (0, count, near, count + near), 3 - near) for a, b in (rows[:2], rows[2:]))
    sums = fold(first, second, (0, 1, count, count + 1), 2)
    while count > ROWS:
        count //= 2
        sums = code.builder.add(code.shuffle(sums, range(count)), code.shuffle(sums, range(count, 2 * count)))
    return sums


def _moments(mantissa: bool) -> Any:
    """`f((arrays...), (totals, squares, means, factors, downs, columns, fraction, epsilon, bits, n_bits))`: means and
    factors, int32, and downs, int64, of eight rows of `columns`, from their sums. mantissa: those of S11b."""

    def emit(code: Code, _: Any, totals: Any, squares: Any, means: Any, factors: Any, downs: Any, *rest: Any) -> None:
        build = code.builder
        count, shift, least, bits, n_bits = (code.splat(value, GROUP) for value in rest)
        total = build.shl(build.sext(code.load(totals, NARROW, 4), QUADS), shift)
        square = build.shl(build.shl(code.load(squares, QUADS, 8), shift), shift)
        if mantissa:
            code.store(build.trunc(total, NARROW), means, 4)
            square = build.sub(build.mul(count, square), build.mul(total, total))
        else:
            twice = build.add(total, total)
            mean = _mean(code, build.add(twice, count), build.add(count, count))
            code.store(mean, means, 4)
            middle = build.sext(mean, QUADS)
            square = build.sub(square, build.mul(middle, build.sub(twice, build.mul(count, middle))))
        zero, one = code.constant(0, QUADS), code.constant(1, QUADS)
        root = code.largest(_root(code, build.add(square, least)), one)
        width = build.add(bits, _exponent(code, root)) if mantissa else bits
        factor, down = _factor(code, build.shl(one, width), root), build.sub(width, n_bits)
        if mantissa:
            factor = code.smallest(factor, build.sub(build.shl(one, bits), one))
            factor = build.shl(factor, code.largest(build.neg(down), zero))
            down = code.largest(down, zero)
        code.store(build.trunc(factor, NARROW), factors, 4)
        code.store(down, downs, 8)

    return over_arrays(emit)


def _exponent(code: Code, value: ir.Value) -> ir.Value:
    """The place of the leading one of 1 .. 2^53: the exponent of its float, which is exact."""
    build = code.builder
    words = build.bitcast(build.sitofp(value, FLOATS), QUADS)
    return build.sub(build.lshr(words, code.constant(52, QUADS)), code.constant(1023, QUADS))


def _quotient(code: Code, numerator: ir.Value, divisor: ir.Value) -> ir.Value:
    return code.builder.fdiv(code.builder.sitofp(numerator, FLOATS), code.builder.sitofp(divisor, FLOATS))


def _mean(code: Code, numerator: ir.Value, divisor: ir.Value) -> ir.Value:
    """The floor of a quotient of magnitude below 2^30, int32."""
    build = code.builder
    exact = _quotient(code, numerator, divisor)
    whole = build.fptosi(exact, NARROW)
    return build.add(whole, build.sext(build.fcmp_ordered(">", build.sitofp(whole, FLOATS), exact), NARROW))


def _whole(code: Code, value: ir.Value) -> ir.Value:
    """The whole part of what is not negative, 2^31 - 1 at most."""
    build, most = code.builder, code.constant(MOST, FLOATS)
    least = build.select(build.fcmp_ordered("<", value, most), value, most)
    return build.zext(build.fptosi(least, NARROW), QUADS)


def _root(code: Code, value: ir.Value) -> ir.Value:
    """The largest r with r * r <= value < 2^62."""
    build = code.builder
    root = _whole(code, code.call(f"llvm.sqrt.v{GROUP}f64", FLOATS, build.sitofp(value, FLOATS)))
    above = build.icmp_signed(">", build.mul(root, root), value)
    return build.add(root, build.sext(above, QUADS))


def _factor(code: Code, power: ir.Value, root: ir.Value) -> ir.Value:
    """The floor of power / root, 2^31 - 1 at most."""
    build = code.builder
    factor = _whole(code, _quotient(code, power, root))
    return build.add(factor, build.sext(build.icmp_signed(">", build.mul(factor, root), power), QUADS))


row_sums = over_arrays(_sums)
moments, short_moments = _moments(mantissa=False), _moments(mantissa=True)
