"""Rows of bytes copied and shifted, a cache line at a time."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.extending import overload

from hwsim.kernels.simd.code import I8, I64, Code, inline, vector

Bytes = npt.NDArray[np.uint8]

LINE = 64


def lowered(row: Bytes, less: np.uint8, to: Bytes) -> None:
    """to[:n] = row - less, modulo 256; both contiguous, and apart from each other."""
    to[: len(row)] = row - less


def _lines(code: Code, start: ir.Value, count: ir.Value, less: ir.Value, end: ir.Value) -> None:
    """`f((source, lines, less, target))`."""
    build, kind = code.builder, vector(I8, LINE)
    each = code.splat(build.trunc(less, I8), LINE)

    def body(index: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        place = build.mul(index, code.constant(LINE, I64))
        code.store(build.sub(code.load(code.offset(start, place), kind), each), code.offset(end, place))
        return []

    code.loop(count, [], body)


_lowered_lines = inline(_lines)


@overload(lowered, strict=False)  # type: ignore[untyped-decorator]
def _lowered_code(row: Any, less: Any, to: Any) -> Any:
    def compute(row: Bytes, less: np.uint8, to: Bytes) -> None:
        count = row.shape[0]
        if count < LINE:
            for i in range(count):
                to[i] = row[i] - less
            return
        source, target, rest = row.ctypes.data, to.ctypes.data, count - LINE
        _lowered_lines((source, count // LINE, less, target))
        _lowered_lines((source + rest, 1, less, target + rest))  # overlaps the line before it

    return compute
