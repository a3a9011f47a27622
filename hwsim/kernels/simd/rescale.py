"""Requantize (S4) over rows, each lane a channel, and over runs of one channel (vectors.py says how)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.kernel import kernel
from hwsim.kernels.simd.code import I32, I64, Code
from hwsim.kernels.simd.vectors import LANES, codes_of, constants_of, load, over_arrays, store

ROWS = 4
"""Rows that share one loading of constants."""

Integers = npt.NDArray[Any]


def _rows(count: int, even: bool) -> Any:
    """`rows((x, out), (source, stride, target, stride, groups, left, multiplier, offset, right, zero, qmin, qmax))`:
    `count` rows of `groups` vectors, each lane a channel. As many rows behind them are fetched, which the CPU does not
    foresee where rows are short and lie apart."""

    def emit(code: Code, forms: Any, start: Any, step: Any, end: Any, end_step: Any, groups: Any, *rest: Any) -> None:
        *starts, qmin, qmax = rest
        low, high = (code.splat(code.builder.trunc(value, I32), LANES) for value in (qmin, qmax))
        ahead = code.builder.mul(step, code.constant(count, I64))
        vector_bytes = code.constant(forms[0][0].element.width * LANES // 8, I64)

        def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            constants, here, there = constants_of(code, starts, group), start, end
            behind = code.offset(ahead, code.builder.mul(group, vector_bytes))
            for _row in range(count):
                x = load(code, forms[0], here, group)
                code.fetch(code.offset(here, behind))
                store(code, forms[1], codes_of(code, x, constants, low, high, even), there, group)
                here, there = code.offset(here, step), code.offset(there, end_step)
            return []

        code.loop(groups, [], body)

    return over_arrays(emit)


def _run(even: bool) -> Any:
    """`run((x, out), (source, target, groups, left, multiplier, offset, right, zero, qmin, qmax))`: one channel."""

    def emit(code: Code, forms: Any, start: Any, end: Any, groups: Any, *rest: Any) -> None:
        *starts, qmin, qmax = rest
        low, high = (code.splat(code.builder.trunc(value, I32), LANES) for value in (qmin, qmax))
        constants = constants_of(code, starts, None)

        def body(group: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            x = load(code, forms[0], start, group)
            store(code, forms[1], codes_of(code, x, constants, low, high, even), end, group)
            return []

        code.loop(groups, [], body)

    return over_arrays(emit)


_four_rows, _one_row = _rows(ROWS, even=False), _rows(1, even=False)
_four_even_rows, _one_even_row = _rows(ROWS, even=True), _rows(1, even=True)
_plain_run, _even_run = _run(even=False), _run(even=True)


def _scalar(x: int, left: int, multiplier: int, offset: int, right: int, zero: int, even: bool) -> np.int64:
    """The code of one x before it is clamped."""
    y = (np.int64(x) << np.int64(left)) * np.int64(multiplier) + offset
    shift = np.int64(32) + np.int64(right)
    value = y >> shift
    if even and value << shift == y:
        value -= value & np.int64(1)
    return value + np.int64(zero)


_lone = kernel(_scalar)


def _rescale_rows(
    x: Integers,
    left: Integers,
    multiplier: Integers,
    offset: Integers,
    right: Integers,
    zero: Integers,
    qmin: int,
    qmax: int,
    even: bool,
    out: Integers,
) -> None:
    """Rows x (R, C), elements side by side, into out (R, C). left, multiplier, right, zero: int32 (C,) per channel;
    offset: int64 (C,), in every whole sixteen in `ORDER`."""
    rows, columns = x.shape
    groups = columns // LANES
    last = groups * LANES
    starts = (left.ctypes.data, multiplier.ctypes.data, offset.ctypes.data, right.ctypes.data, zero.ctypes.data)
    r = 0
    while r < rows and groups > 0:
        many = r + ROWS <= rows
        places = (x[r:].ctypes.data, x.strides[0], out[r:].ctypes.data, out.strides[0], groups)
        numbers = places + starts + (qmin, qmax)
        if even and many:
            _four_even_rows((x, out), numbers)
        elif even:
            _one_even_row((x, out), numbers)
        elif many:
            _four_rows((x, out), numbers)
        else:
            _one_row((x, out), numbers)
        r += ROWS if many else 1
    for c in range(last, columns):
        for row in range(rows):
            code = _lone(x[row, c], left[c], multiplier[c], offset[c], right[c], zero[c], even)
            out[row, c] = min(max(code, np.int64(qmin)), np.int64(qmax))


def _rescale_runs(
    x: Integers,
    left: Integers,
    multiplier: Integers,
    offset: Integers,
    right: Integers,
    zero: Integers,
    qmin: int,
    qmax: int,
    even: bool,
    out: Integers,
) -> None:
    """x (outer, C, inner), the inner elements side by side, into out; constants (C,) as for rows, `offset` in order."""
    groups = x.shape[2] // LANES
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            places = (x[i, c].ctypes.data, out[i, c].ctypes.data, groups)
            starts = (left[c:].ctypes.data, multiplier[c:].ctypes.data, offset[c:].ctypes.data)
            numbers = places + starts + (right[c:].ctypes.data, zero[c:].ctypes.data, qmin, qmax)
            if groups > 0 and even:
                _even_run((x, out), numbers)
            elif groups > 0:
                _plain_run((x, out), numbers)
            for j in range(groups * LANES, x.shape[2]):
                code = _lone(x[i, c, j], left[c], multiplier[c], offset[c], right[c], zero[c], even)
                out[i, c, j] = min(max(code, np.int64(qmin)), np.int64(qmax))


rescale_rows = kernel(_rescale_rows)
rescale_runs = kernel(_rescale_runs)
