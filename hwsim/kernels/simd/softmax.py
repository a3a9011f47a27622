"""Softmax by a table (S12d) row by row, the codes of a requantize (S4) behind it at once, and log2 codes (S12c).

A row's weights stay in 32 bits and in the cache: maximum, look-ups, their sum, one division, then S4 with the quotient as
its multiplier (vectors.py) and, fused, S4 once more. Four rows are under way at once, one in each of these steps: they keep
different parts of a CPU busy, and no step waits for the one before it.

A log2 code is how many k there are, of 0 .. last - 1, with e * 2^k <= most = floor(2 * sum / 3). Float64 holds e and most,
and the bits of positive floats, as integers, are in the order of the floats; 2^k adds k to the exponent. So all k there are
number (bits of 2 * most - bits of e) >> 52, which is not negative: most >= e / 2 from e = 2 on, and where most is 0, in a row
of a 1 and zeros, 1/2 stands for it. For e = 0, whose bits are 0, there are more than 1000.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import inline_kernel, kernel
from hwsim.kernels.simd.code import F64, I32, I64, Code, vector
from hwsim.kernels.simd.vectors import (
    LANES,
    QUADS,
    WORDS,
    addresses_of,
    codes_of,
    constants_of,
    load,
    narrowed,
    over_arrays,
    sides,
    store,
)

STEPS = 4
"""Rows under way: the maximum of row i, look-ups of row i - 1, the sum of row i - 2, the codes of row i - 3."""

EXPONENT = 52
"""Where the exponent of a float64 begins."""

Integers = npt.NDArray[Any]


def _steps(weigh: Callable[..., Any]) -> Any:
    """`f((scores, out, ...), (rising, looked, entries, filled, summed, weighed, end, length, found, ...))`: one step of each
    of four rows of 16 scores or more.

    The maximum of the scores at `rising`, to `found`; entries of the scores at `looked`, int32, to `filled`; the sum of the
    entries at `summed`, up to whole vectors, to found[1]; codes of the entries at `weighed`, to `end`: what
    `weigh(code, numbers)` makes of vectors of entries, with the numbers behind `found`. Where rows end, a vector overlaps the
    one before it. Further arrays are those that hold the numbers: Numba drops what is not named any more.
    """

    def emit(code: Code, forms: Any, *operands: ir.Value) -> None:
        rising, looked, entries, filled, summed, weighed, end, length, found, *numbers = operands
        build, (scores, out) = code.builder, forms[:2]
        codes_of_weights = weigh(code, numbers)
        none, lanes = code.constant(0, I64), code.constant(LANES, I64)
        last = build.sub(length, lanes)

        def at(place: ir.Value, start: ir.Value, form: Any) -> ir.Value:
            return code.offset(place, build.mul(start, code.constant(form[0].element.width // 8, I64)))

        def body(group: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            start = code.smallest(build.mul(group, lanes), last)
            compare = build.icmp_signed if scores[1] else build.icmp_unsigned
            some = code.load(at(rising, start, scores), scores[0])
            top = build.select(compare(">", some, state[0]), some, state[0])
            total = build.add(state[1], load(code, (WORDS, True), summed, group))
            codes = codes_of_weights(load(code, (WORDS, True), at(weighed, start, (WORDS, True)), none))
            store(code, out, codes, at(end, start, out), none)
            place = at(filled, start, (WORDS, True))
            for pair, entry in enumerate(_pairs(code, scores, at(looked, start, scores), entries)):
                code.store(entry, code.offset(place, 8 * pair), 4)
            return [top, total]

        first = code.load(rising, scores[0])
        groups = build.ashr(build.add(length, code.constant(LANES - 1, I64)), code.constant(4, I64))
        top, total = code.loop(groups, [first, code.constant(0, WORDS)], body)
        name = f"llvm.vector.reduce.{'s' if scores[1] else 'u'}max.v{LANES}i{scores[0].element.width}"
        widened = build.sext if scores[1] else build.zext
        code.store(widened(code.call(name, scores[0].element, top), I64), found, 8)
        low = build.and_(build.bitcast(total, QUADS), code.constant((1 << 32) - 1, QUADS))
        high = build.lshr(build.bitcast(total, QUADS), code.constant(32, QUADS))
        sums = code.call(f"llvm.vector.reduce.add.v{LANES // 2}i64", I64, build.add(low, high))
        code.store(sums, code.offset(found, 8), 8)

    return over_arrays(emit)


def _pairs(code: Code, form: Any, start: ir.Value, entries: ir.Value) -> Iterator[ir.Value]:
    """The entries that sixteen scores from `start` on name, two by two: half as many stores.

    Entries are 64 bits wide, with nothing in their high halves, and 0 lies before the first: read from 4 bytes before it, an
    entry is in the high half."""
    found = addresses_of(code, form, start, entries, I64)
    for first, second in zip(found, found, strict=True):
        yield code.builder.or_(code.load(first, I64), code.load(code.offset(second, -4), I64))


def _probabilities(code: Code, numbers: Any) -> Any:
    """Weights to min((high word of weight * factor + half) >> right, qmax); none is negative."""
    build = code.builder
    factor, right, qmax = (code.splat(build.trunc(numbers[i], I32), LANES) for i in (0, 2, 3))
    half, factor = code.splat(numbers[1], LANES // 2), sides(code, factor)[0]

    def codes(weights: ir.Value) -> ir.Value:
        halves = [build.add(build.mul(side, factor), half) for side in sides(code, weights)]
        return narrowed(code, halves, right, None, None, qmax, even=False)

    return codes


def _requantized(even: bool) -> Callable[..., Any]:
    """Weights to probabilities, and those by S4 (vectors.py), with ties if `even`, to codes; behind the numbers of the first
    are left, multiplier, offset, right, zero, qmin, qmax."""

    def weigh(code: Code, numbers: Any) -> Any:
        probabilities = _probabilities(code, numbers[:4])
        low, high = (code.splat(code.builder.trunc(value, I32), LANES) for value in numbers[9:])
        second = constants_of(code, numbers[4:9], None)
        return lambda weights: codes_of(code, probabilities(weights), second, low, high, even)

    return weigh


def _levels(code: Code, numbers: Any) -> Any:
    """Weights to min((level - bits of the weight in float64) >> 52, last)."""
    build, quads = code.builder, vector(I64, LANES)
    level, last = code.splat(numbers[0], LANES), code.splat(build.trunc(numbers[1], I32), LANES)

    def codes(weights: ir.Value) -> ir.Value:
        bits = build.bitcast(build.sitofp(weights, vector(F64, LANES)), quads)
        steps = build.lshr(build.sub(level, bits), code.constant(EXPONENT, quads))
        return code.smallest(build.trunc(steps, WORDS), last)

    return codes


_plain, _then, _then_even, _log = (
    _steps(weigh) for weigh in (_probabilities, _requantized(False), _requantized(True), _levels)
)


def _room_of(scores: Integers, out: Integers) -> tuple[Integers, Integers, Integers, Integers]:
    """Four rows of weights, which begin on a cache line; a maximum and a sum; scores of 0 before the first row and behind the
    last one; and where codes of these go."""
    length = scores.shape[1]
    weights = np.zeros(STEPS * _whole(length) + LANES, np.int32)
    return weights, np.array([0, 1], np.int64), np.zeros(length, scores.dtype), np.empty(length, out.dtype)


def _whole_of(length: int) -> int:
    """Elements of whole vectors."""
    return (length + LANES - 1) // LANES * LANES


def _plan_of(
    scores: Integers, table: Integers, weights: Integers, found: Integers, start: Integers, end: Integers, out: Integers
) -> tuple[int, ...]:
    """What `_places` needs to know, all integers: an array would be counted at every row. + 0 makes int64 of an address in
    Numba: a choice of two types would be a float64."""
    rows, length = scores.shape
    buffers = weights.ctypes.data + -weights.ctypes.data % 64
    sources = (scores.ctypes.data + 0, scores.strides[0], start.ctypes.data + 0)
    targets = (out.ctypes.data + 0, out.strides[0], end.ctypes.data + 0)
    entries = table.ctypes.data + 8 * (table.shape[0] - 1)
    return rows, *sources, *targets, buffers, 4 * _whole(length), entries, length, found.ctypes.data


def _places_of(i: int, top: int, plan: tuple[int, ...]) -> tuple[int, ...]:
    """The first nine operands of step i of `_steps`, where `top` is the maximum of the row that is looked up."""
    rows, scores, row, zeros, out, codes, spare, buffers, buffer, entries, length, found = plan
    return (
        scores + i * row if i < rows else zeros,
        scores + (i - 1) * row if 0 < i <= rows else zeros,
        entries - 8 * top,
        buffers + (i - 1) % STEPS * buffer,
        buffers + (i - 2) % STEPS * buffer,
        buffers + (i - 3) % STEPS * buffer,
        out + (i - STEPS + 1) * codes if i >= STEPS - 1 else spare,
        length,
        found,
    )


def _count_of(rows: int) -> int:
    """Steps until the last of `rows` has its codes."""
    return rows + STEPS - 1 if rows > 0 else 0


_whole, _count = inline_kernel(_whole_of), inline_kernel(_count_of)
_room, _plan, _places = inline_kernel(_room_of), inline_kernel(_plan_of), inline_kernel(_places_of)


def _softmax_rows(
    scores: Integers, table: Integers, numerator: int, half: int, right: int, qmax: int, out: Integers
) -> None:
    """Rows of scores (R, N), N at least 16, side by side in memory, into out (R, N); `table`, int64, from the smallest
    weight on, behind a 0.

    code = min((high word of (weight * floor(numerator / sum) + half)) >> right, qmax)
    """
    weights, found, start, end = _room(scores, out)
    plan = _plan(scores, table, weights, found, start, end, out)
    for i in range(_count(scores.shape[0])):
        places = _places(i, found[0], plan)
        _plain((scores, out, start, end, weights), (*places, numerator // max(found[1], 1), half, right, qmax))


def _softmax_codes(
    scores: Integers,
    table: Integers,
    numerator: int,
    half: int,
    right: int,
    qmax: int,
    left2: Integers,
    multiplier2: Integers,
    offset2: Integers,
    right2: Integers,
    zero2: Integers,
    qmin2: int,
    qmax2: int,
    even: bool,
    inner: int,
    out: Integers,
) -> None:
    """As `softmax_rows`; then S4 with the constants (C,), as in rescale.py's runs, each for `inner` rows, in turn."""
    weights, found, start, end = _room(scores, out)
    plan = _plan(scores, table, weights, found, start, end, out)
    c, rest = 0, inner + STEPS - 1
    for i in range(_count(scores.shape[0])):
        places = _places(i, found[0], plan)
        numbers = (*places, numerator // max(found[1], 1), half, right, qmax)
        starts = (left2[c:].ctypes.data, multiplier2[c:].ctypes.data, offset2[c:].ctypes.data)
        second = (*starts, right2[c:].ctypes.data, zero2[c:].ctypes.data, qmin2, qmax2)
        if even:
            _then_even((scores, out, start, end, weights), (*numbers, *second))
        else:
            _then((scores, out, start, end, weights), (*numbers, *second))
        rest -= 1
        if rest == 0:
            c, rest = (c + 1) % left2.shape[0], inner


def _softmax_log_codes(scores: Integers, table: Integers, last: int, out: Integers) -> None:
    """As `softmax_rows`, to log2 codes up to `last`, which is 31 at most."""
    weights, found, start, end = _room(scores, out)
    plan = _plan(scores, table, weights, found, start, end, out)
    for i in range(_count(scores.shape[0])):
        places = _places(i, found[0], plan)
        twice = np.float64(2.0 * max(np.float64(2 * found[1] // 3), 0.5))
        _log((scores, out, start, end, weights), (*places, twice.view(np.int64), last))


softmax_rows = kernel(_softmax_rows)
softmax_codes = kernel(_softmax_codes)
softmax_log_codes = kernel(_softmax_log_codes)
