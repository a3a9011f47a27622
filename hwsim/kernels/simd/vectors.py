"""Vectors of 16 integers, and S4 on them: products exact in 64 bits, everything behind them in 32.

    y = (x << left) * multiplier + offset          code = clamp(((high word of y) >> right) + zero, qmin, qmax)

With the constants of `hwsim/ops/_rescale.py` at hand, y is their y shifted to the left until their shift is 32 or more; so
the high word of y holds all of the code, and nothing else needs 64 bits. `even`: a y whose discarded bits are all 0 is a
tie, and takes 1 from an odd code. CPUs multiply every other 32-bit lane, so 64-bit values come in two halves: those of the
even lanes, and those of the odd ones. The callers prove that neither y nor the code before clamping overflows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from hwsim.kernels.simd.code import I32, I64, Code, vector

LANES = 16
ORDER = (*range(0, LANES, 2), *range(1, LANES, 2))
"""Of 64-bit constants of sixteen channels: those in even lanes, then those in odd ones."""

WORDS, QUADS = vector(I32, LANES), vector(I64, LANES // 2)


def over_arrays(emit: Callable[..., Any], result: Any = types.void) -> Any:
    """`f((arrays...), (integers...))` in Numba code: `emit(code, formats, *integers)` written there.

    formats: of each array (LLVM vector type of 16 elements, whether they are signed). `result`: Numba's type of what
    `emit` returns.
    """

    def typing(_typing: Any, arrays: Any, numbers: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            kinds = signature.args[1].types
            values = cgutils.unpack_tuple(builder, arguments[1], len(kinds))
            values = [context.cast(builder, v, k, types.intp) for v, k in zip(values, kinds, strict=True)]
            formats = [(vector(ir.IntType(a.dtype.bitwidth), LANES), a.dtype.signed) for a in signature.args[0].types]
            made = emit(Code(builder), formats, *values)
            return context.get_dummy_value() if result is types.void else made

        return result(arrays, numbers), generate

    return intrinsic(typing)


def load(code: Code, form: tuple[ir.VectorType, bool], start: ir.Value, group: ir.Value) -> ir.Value:
    """The `group`-th sixteen from `start` on, as int32."""
    place = code.offset(start, code.builder.mul(group, code.constant(_bytes(form), I64)))
    return code.convert(code.load(place, form[0]), WORDS, form[1])


def store(code: Code, form: tuple[ir.VectorType, bool], value: ir.Value, start: ir.Value, group: ir.Value) -> None:
    """`value` as the `group`-th sixteen from `start` on."""
    place = code.offset(start, code.builder.mul(group, code.constant(_bytes(form), I64)))
    code.store(code.convert(value, form[0]), place)


def addresses_of(
    code: Code, form: tuple[ir.VectorType, bool], start: ir.Value, entries: ir.Value, kind: ir.Type
) -> Iterator[ir.Value]:
    """Where the entries, of `kind`, are that the sixteen indices at `start` name; index 0 is at `entries`.

    Words of 64 bits bring many indices at once: CPUs load as many words in a cycle as entries."""
    build, width = code.builder, form[0].element.width
    extend = build.ashr if form[1] else build.lshr
    for word in range(LANES * width // 64):
        many = code.load(code.offset(start, 8 * word), I64)
        for place in range(64 // width):
            first = build.shl(many, code.constant(64 - width * (place + 1), I64))
            index = extend(first, code.constant(64 - width, I64))
            yield code.offset(entries, build.mul(index, code.constant(kind.width // 8, I64)))


def looked_up(
    code: Code, form: tuple[ir.VectorType, bool], start: ir.Value, group: ir.Value, entries: ir.Value, kind: ir.Type
) -> ir.Value:
    """The entries that the `group`-th sixteen indices from `start` on name, as in `addresses_of`."""
    here = code.offset(start, code.builder.mul(group, code.constant(_bytes(form), I64)))
    values = ir.Constant(vector(kind, LANES), ir.Undefined)
    for lane, address in enumerate(addresses_of(code, form, here, entries, kind)):
        values = code.builder.insert_element(values, code.load(address, kind), code.constant(lane, I32))
    return values


def constants_of(code: Code, starts: Sequence[ir.Value], group: ir.Value | None) -> list[ir.Value]:
    """left, multiplier of even and odd lanes, offset of both, right, zero: of a group of channels, or of one in all lanes."""
    build = code.builder
    left, multiplier, offset, right, zero = starts
    if group is None:
        words = [code.splat(code.load(start, I32, 4), LANES) for start in (left, multiplier, right, zero)]
        offsets = [code.splat(code.load(offset, I64, 8), LANES // 2)] * 2
    else:
        place = build.mul(group, code.constant(4 * LANES, I64))
        words = [code.load(code.offset(start, place), WORDS, 4) for start in (left, multiplier, right, zero)]
        both = code.offset(offset, build.add(place, place))
        offsets = [code.load(both, QUADS, 8), code.load(code.offset(both, 4 * LANES), QUADS, 8)]
    return [words[0], *sides(code, words[1]), *offsets, words[2], words[3]]


def sides(code: Code, words: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Even and odd lanes, sign-extended."""
    build = code.builder
    pairs, word = build.bitcast(words, QUADS), code.constant(32, QUADS)
    return build.ashr(build.shl(pairs, word), word), build.ashr(pairs, word)


def codes_of(
    code: Code, x: ir.Value, constants: Sequence[ir.Value], low: ir.Value, high: ir.Value, even: bool
) -> ir.Value:
    """The codes of sixteen x, all int32."""
    left, *factors, first, second, right, zero = constants
    halves = [
        code.builder.add(code.builder.mul(a, b), offset)
        for a, b, offset in zip(sides(code, code.builder.shl(x, left)), factors, (first, second), strict=True)
    ]
    return narrowed(code, halves, right, zero, low, high, even)


def narrowed(
    code: Code,
    halves: Sequence[ir.Value],
    right: ir.Value,
    zero: ir.Value | None,
    low: ir.Value | None,
    high: ir.Value,
    even: bool,
) -> ir.Value:
    """clamp((high word >> right) + zero) of int64 in even and in odd lanes; no zero is 0, and no low no clamp there."""
    build = code.builder
    first, second = (build.bitcast(half, WORDS) for half in halves)
    value = code.shuffle(first, [lane | 1 if lane % 2 == 0 else lane + LANES for lane in range(LANES)], second)
    result = build.ashr(value, right)
    if even:
        one = code.constant(1, WORDS)
        below = code.shuffle(first, [lane if lane % 2 == 0 else lane - 1 + LANES for lane in range(LANES)], second)
        rest = build.or_(below, build.and_(value, build.sub(build.shl(one, right), one)))
        tie = build.icmp_unsigned("==", rest, code.constant(0, WORDS))
        result = build.sub(result, build.select(tie, build.and_(result, one), code.constant(0, WORDS)))
    result = result if zero is None else build.add(result, zero)
    return code.smallest(result if low is None else code.largest(result, low), high)


def _bytes(form: tuple[ir.VectorType, bool]) -> int:
    return int(form[0].element.width) * LANES // 8
