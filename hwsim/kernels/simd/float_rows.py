"""Sums and maxima of contiguous rows of floats, in one fixed order (S5, S6), whatever the width of the vectors.

    lane[i] = x[i] + x[8 + i] + x[16 + i] + ...,  i = 0..7, over the whole eights, from left to right
    sum     = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7])) + rest

where rest is what does not fill eight, added from left to right; sums of float32 (of guesses alone) have 16 lanes. Each
function is plain Python, and Numba code that calls it gets vector IR in its place, with the same bits.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from hwsim.kernels.simd.code import F32, F64, I64, Code, vector

Row = npt.NDArray[np.floating]
T = TypeVar("T", bound=npt.NDArray[Any])

LANES, SHORT_LANES = 8, 16
"""Of float64, and of float32."""
Step = Callable[[Code, ir.Value, ir.Value], ir.Value]
"""What becomes of a lane and the next element."""


def contiguous(row: T) -> T:
    """`row`, whose elements the caller knows to lie one after the other, although its type does not say so."""
    return row


def row_sum(x: Row) -> float:
    """The sum of x."""
    return _in_order(x)


def row_squares(x: Row, mean: float) -> float:
    """The sum of (x - mean)^2."""
    return _in_order((x - mean) * (x - mean))


def row_max(x: Row) -> float:
    """The greatest of x (of which there is at least one); a NaN is passed over unless it is the first."""
    top = x[0]
    for value in x:
        top = value if value > top else top
    return float(top)


def _in_order(x: Row) -> float:
    many = LANES if x.dtype == np.float64 else SHORT_LANES
    whole = len(x) // many * many
    lanes, rest = np.zeros(many, x.dtype), x.dtype.type(0.0)
    for start in range(0, whole, many):
        lanes += x[start : start + many]
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    for value in x[whole:]:
        rest = rest + value
    return float(lanes[0] + rest)


def _blocks(step: Step, join: Step, element: ir.Type = F64, many: int = LANES) -> Any:
    """Numba code calls it as `f(address, blocks, first, operand)`: lanes begin as `first`, then `step` for each block of
    `many` (at least one) with `operand`, then `join` of all lanes."""
    real = types.float64 if element is F64 else types.float32

    def typed(_typing: Any, address: Any, blocks: Any, first: Any, operand: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            code, kind = Code(builder), vector(element, many)
            place, count = (
                context.cast(builder, v, k, types.intp) for v, k in zip(arguments[:2], signature.args[:2], strict=True)
            )
            other = code.splat(arguments[3], many)

            def body(index: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
                where = code.offset(place, builder.mul(index, code.constant(64, I64)))
                return [step(code, state[0], _less(code, code.load(where, kind), other))]

            (lanes,) = code.loop(count, [code.splat(arguments[2], many)], body)
            while (half := lanes.type.count // 2) > 0:
                lanes = join(code, code.shuffle(lanes, range(half)), code.shuffle(lanes, range(half, 2 * half)))
            return builder.extract_element(lanes, code.constant(0, I64))

        return real(address, blocks, real, real), generate

    return intrinsic(typed)


def _less(code: Code, value: ir.Value, other: ir.Value) -> ir.Value:
    return code.builder.fsub(value, other)


def _plus(code: Code, lane: ir.Value, value: ir.Value) -> ir.Value:
    return code.builder.fadd(lane, value)


def _plus_square(code: Code, lane: ir.Value, value: ir.Value) -> ir.Value:
    return code.builder.fadd(lane, code.builder.fmul(value, value))


def _greater(code: Code, lane: ir.Value, value: ir.Value) -> ir.Value:
    return code.builder.select(code.builder.fcmp_ordered(">", value, lane), value, lane)


_sum_blocks = _blocks(_plus, _plus)
_square_blocks = _blocks(_plus_square, _plus)
_max_blocks = _blocks(_greater, _greater)
_short_sum_blocks = _blocks(_plus, _plus, F32, SHORT_LANES)


@intrinsic  # type: ignore[untyped-decorator]
def _as_contiguous(_typing: Any, row: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        context.nrt.incref(builder, signature.return_type, arguments[0])
        return arguments[0]

    return types.Array(row.dtype, 1, "C", readonly=not row.mutable)(row), generate


@overload(contiguous, strict=False)  # type: ignore[untyped-decorator]
def _contiguous_code(row: Any) -> Any:
    return lambda row: _as_contiguous(row)


@overload(row_sum, strict=False)  # type: ignore[untyped-decorator]
def _sum_code(x: Any) -> Any:
    wide = x.dtype == types.float64
    many, sums, zero = (LANES, _sum_blocks, 0.0) if wide else (SHORT_LANES, _short_sum_blocks, np.float32(0.0))

    def compute(x: Row) -> Any:
        blocks = x.shape[0] // many
        total = sums(x.ctypes.data, blocks, zero, zero) if blocks > 0 else zero
        rest = zero
        for c in range(blocks * many, x.shape[0]):
            rest += x[c]
        return total + rest

    return compute


@overload(row_squares, strict=False)  # type: ignore[untyped-decorator]
def _squares_code(x: Any, mean: Any) -> Any:
    def compute(x: Row, mean: float) -> float:
        blocks = x.shape[0] // LANES
        total = _square_blocks(x.ctypes.data, blocks, 0.0, mean) if blocks > 0 else 0.0
        rest = 0.0
        for c in range(blocks * LANES, x.shape[0]):
            rest += (x[c] - mean) * (x[c] - mean)
        return total + rest

    return compute


@overload(row_max, strict=False)  # type: ignore[untyped-decorator]
def _max_code(x: Any) -> Any:
    def compute(x: Row) -> Any:
        blocks = x.shape[0] // LANES
        top = _max_blocks(x.ctypes.data, blocks, x[0], 0.0) if blocks > 0 else x[0]
        for c in range(blocks * LANES, x.shape[0]):
            top = x[c] if x[c] > top else top
        return top

    return compute
