"""Softmax by a table (S12d) in one pass over each row, and the codes of a requantize (S4) behind it at once.

A row's weights stay in 32 bits and in the cache: look-ups and their sum, one division, then S4 with the quotient as its
multiplier (vectors.py) and, fused, S4 once more.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.code import I32, I64, Code
from hwsim.kernels.simd.vectors import LANES, WORDS, codes_of, constants_of, load, looked_up, over_arrays, store

Integers = npt.NDArray[Any]


def _quotients(stages: int, even: bool) -> Any:
    """`f((weights, out, ...), (source, target, length, constants...))`: S4 `stages` times over a row of 16 or more.

    Constants of each stage: left, multiplier, offset, right, zero, qmin, qmax. `even` is the last stage's. The last vector
    overlaps the one before it. Further arrays are those that hold the numbers: Numba drops what is not named any more.
    """

    def emit(code: Code, forms: Any, start: Any, end: Any, length: Any, *rest: Any) -> None:
        build = code.builder
        settings = []
        for stage in range(stages):
            *starts, qmin, qmax = rest[7 * stage : 7 * stage + 7]
            low, high = (code.splat(build.trunc(value, I32), LANES) for value in (qmin, qmax))
            settings.append((constants_of(code, starts, None), low, high, even and stage == stages - 1))

        def at(here: ir.Value, there: ir.Value, group: ir.Value) -> None:
            x = load(code, forms[0], here, group)
            for constants, low, high, ties in settings:
                x = codes_of(code, x, constants, low, high, ties)
            store(code, forms[1], x, there, group)

        def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            at(start, end, group)
            return []

        whole = build.ashr(length, code.constant(4, length.type))
        code.loop(whole, [], body)
        behind = build.sub(length, code.constant(LANES, length.type))
        sizes = (form[0].element.width // 8 for form in forms[:2])
        here, there = (
            code.offset(place, build.mul(behind, code.constant(size, length.type)))
            for place, size in zip((start, end), sizes, strict=True)
        )
        at(here, there, code.constant(0, length.type))

    return over_arrays(emit)


_probabilities = _quotients(1, even=False)
_plain_codes, _even_codes = _quotients(2, even=False), _quotients(2, even=True)


def _summed(code: Code, forms: Any, start: Any, entries: Any, weights: Any, groups: Any) -> ir.Value:
    """`f((scores,), (source, entries, weights, groups))`: int32 entries of the scores to `weights`, and their sum."""

    def body(group: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        found = looked_up(code, forms[0], start, group, entries, I32)
        store(code, (WORDS, True), found, weights, group)
        return [code.builder.add(state[0], found)]

    (sums,) = code.loop(groups, [code.constant(0, WORDS)], body)
    return code.builder.zext(code.call(f"llvm.vector.reduce.add.v{LANES}i32", I32, sums), I64)


_summed_entries = over_arrays(_summed, types.int64)


def _weigh(scores: Integers, table: Integers, weights: Integers) -> np.int64:
    """The table's entries for a row of scores less their maximum, and their sum; the last entry is the maximum's."""
    top = scores[0]
    for i in range(scores.shape[0]):
        top = max(top, scores[i])
    groups = scores.shape[0] // LANES
    first = table.shape[0] - 1 - np.int64(top)
    numbers = (scores.ctypes.data, table.ctypes.data + 4 * first, weights.ctypes.data, groups)
    total = np.int64(_summed_entries((scores,), numbers))
    for i in range(groups * LANES, scores.shape[0]):
        weights[i] = table[first + np.int64(scores[i])]
        total += np.int64(weights[i])
    return total


_weights = kernel(_weigh)


def _softmax_rows(
    scores: Integers, table: Integers, numerator: int, left: int, half: int, right: int, qmax: int, out: Integers
) -> None:
    """Rows of scores (R, N), N at least 16, into out (R, N); `table`, int32, from the smallest weight on.

    code = min((high word of ((weight << left) * floor(numerator / sum) + half)) >> right, qmax)
    """
    weights = np.empty(scores.shape[1], np.int32)
    words = np.array([left, 0, right, 0], np.int32)
    offset = np.array([half], np.int64)
    starts = (words.ctypes.data, words[1:].ctypes.data, offset.ctypes.data, words[2:].ctypes.data)
    constants = (*starts, words[3:].ctypes.data, 0, qmax)
    for r in range(scores.shape[0]):
        words[1] = numerator // _weights(scores[r], table, weights)
        _probabilities(
            (weights, out, words, offset), (weights.ctypes.data, out[r].ctypes.data, scores.shape[1], *constants)
        )


def _softmax_codes(
    scores: Integers,
    table: Integers,
    numerator: int,
    left: int,
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
    out: Integers,
) -> None:
    """As `softmax_rows`, of scores (outer, C, R, N) into out; then S4 with the constants (C,), as in rescale.py's runs."""
    weights = np.empty(scores.shape[3], np.int32)
    words = np.array([left, 0, right, 0], np.int32)
    offset = np.array([half], np.int64)
    starts = (words.ctypes.data, words[1:].ctypes.data, offset.ctypes.data, words[2:].ctypes.data)
    first = (*starts, words[3:].ctypes.data, 0, qmax)
    for i in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            starts2 = (left2[c:].ctypes.data, multiplier2[c:].ctypes.data, offset2[c:].ctypes.data)
            second = (*starts2, right2[c:].ctypes.data, zero2[c:].ctypes.data, qmin2, qmax2)
            for r in range(scores.shape[2]):
                words[1] = numerator // _weights(scores[i, c, r], table, weights)
                places = (weights.ctypes.data, out[i, c, r].ctypes.data, scores.shape[3])
                if even:
                    _even_codes((weights, out, words, offset), (*places, *first, *second))
                else:
                    _plain_codes((weights, out, words, offset), (*places, *first, *second))


softmax_rows = kernel(_softmax_rows)
softmax_codes = kernel(_softmax_codes)
