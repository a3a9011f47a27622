"""Words of sixteen columns turned into rows, in registers: what packs an operand whose columns lie side by side."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.extending import overload

from hwsim.kernels.simd.code import I8, I32, I64, Code, inline, vector

COLUMNS, STEPS = 16, 8
"""Columns and words of each that are turned at once."""

Words = npt.NDArray[np.uint32]


def turn(
    words: Words, first: int, step: int, even: np.uint32, odd: np.uint32, to: Words, place: int, width: int
) -> None:
    """words[first + c, step + s], every byte plus that of `even` or (odd s) of `odd`, to to[place + width * s + c]."""
    for s in range(STEPS):
        more = np.full(COLUMNS, odd if s % 2 else even, np.uint32).view(np.uint8)
        column = np.ascontiguousarray(words[first : first + COLUMNS, step + s]).view(np.uint8)
        to[place + width * s : place + width * s + COLUMNS] = (column + more).view(np.uint32)


def _turned(
    code: Code, start: ir.Value, stride: ir.Value, even: ir.Value, odd: ir.Value, end: ir.Value, apart: ir.Value
) -> None:
    """`f((source, stride, even, odd, target, stride))`: columns are merged by twos, until each step has its sixteen."""
    build = code.builder
    parts = [
        code.load(code.offset(start, build.mul(stride, code.constant(c, I64))), vector(I32, STEPS))
        for c in range(COLUMNS)
    ]
    while len(parts) > 1:
        half = len(parts) // 2
        lanes = parts[0].type.count
        zipped = [lane for pair in zip(range(lanes), range(lanes, 2 * lanes), strict=True) for lane in pair]
        parts = [code.shuffle(parts[i], zipped, parts[i + half]) for i in range(half)]
    added = [code.splat(build.trunc(word, I32), COLUMNS) for word in (even, odd)]
    bytes_ = vector(I8, 4 * COLUMNS)
    for s in range(STEPS):
        words = code.shuffle(parts[0], range(COLUMNS * s, COLUMNS * (s + 1)))
        total = build.add(build.bitcast(words, bytes_), build.bitcast(added[s % 2], bytes_))
        code.store(total, code.offset(end, build.mul(apart, code.constant(s, I64))))


_turn = inline(_turned)


@overload(turn, strict=False)  # type: ignore[untyped-decorator]
def _turn_code(words: Any, first: Any, step: Any, even: Any, odd: Any, to: Any, place: Any, width: Any) -> Any:
    def compute(
        words: Words, first: int, step: int, even: np.uint32, odd: np.uint32, to: Words, place: int, width: int
    ) -> None:
        source = words.ctypes.data + first * words.strides[0] + 4 * step
        _turn((source, words.strides[0], even, odd, to.ctypes.data + 4 * place, 4 * width))

    return compute
