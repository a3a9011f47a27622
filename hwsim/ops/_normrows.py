"""The integer LayerNorms (S11) row by row in vectors, alone or with the requantize (S4) that takes their codes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from hwsim.kernels.memory import empty, inverse
from hwsim.kernels.simd.layernorm import layernorm_codes, layernorm_rows
from hwsim.kernels.simd.vectors import LANES
from hwsim.op import Array
from hwsim.ops._norm import Norm
from hwsim.ops._once import once
from hwsim.ops._rescale import folded, in_lanes, words
from hwsim.spec import TensorSpec

if TYPE_CHECKING:
    from hwsim.ops.requantize import Requantize

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """How a row becomes normalised values n: what `layernorm_rows` is told, but for its gains; |n| is at most `n_max`."""

    n_max: int
    times: int
    fraction: int
    bits: int
    n_bits: int
    short: bool = False
    apart: tuple[Int32, Int32] | None = None


class RowNorm(Norm, Protocol):
    """An integer LayerNorm that says how it divides."""

    def division(self, x: TensorSpec) -> Division | None:
        """On codes of `x`, whose channels are a multiple of 16; None where 32-bit lanes do not hold all."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """Constants of `layernorm_rows`: gains and offsets for a shift of 32 and `right`, rounding in the offsets."""

    division: Division
    gain: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    right: int
    even: bool


@once
def gains(op: RowNorm, x: TensorSpec) -> Gains | None:
    """The constants of `op` on codes of `x`; None where 32-bit lanes do not hold all, or rows fill no vectors."""
    channels = x.shape[-1]
    division = op.division(x) if channels % LANES == 0 else None
    if division is None or op.shift == 0 or abs(op.spec.zero_point[0]) >= 1 << 30 or op.spec.qmax >= 1 << 31:
        return None
    up, most_n = max(0, 32 - op.shift), division.n_max
    gain, offset = np.array(op.gain, np.int64), np.array(op.offset, np.int64)
    most = np.abs(gain.astype(np.float64)) * most_n + np.abs(offset.astype(np.float64))
    fits = bool((np.abs(gain) << up < 1 << 31).all() and (np.ldexp(most, up) < 2.0**61).all())
    if not fits or not bool((np.ldexp(most, -op.shift) < 2.0**30).all()):
        return None
    shift = np.full(channels, op.shift, np.int64)
    offset, form = folded(gain, offset, shift, (-most_n, most_n), op.rounding, most)
    if form == "generic":
        return None
    return Gains(division, in_lanes(gain << up), in_lanes(offset << up), op.shift - 32 + up, form == "half_even")


def norm_in_rows(op: RowNorm, x: Array, spec: TensorSpec) -> Array | None:
    """Codes of `op` for x (..., C) of `spec`, axes in the order that x has in memory; None where it needs 64-bit lanes."""
    constants = gains(op, spec)
    if constants is None or x.dtype.itemsize > 4:
        return None
    order, rows = _rows(x)
    out = empty(rows.shape, op.spec.container)
    tables = constants.division.apart or ()
    apart = tuple(table.ctypes.data for table in tables)
    arguments = (rows, *_divided(op, constants), apart, *_scalars(op, constants), constants.even, out)
    layernorm_rows(*arguments)
    return _as_ordered(out, x, order)


def norm_requantize(
    op: RowNorm, requantize: "Requantize", x: Array, spec: TensorSpec, between: TensorSpec
) -> Array | None:
    """What `requantize` makes of the codes (of `between`) that `op` makes of x (..., C) of `spec`, without an array of
    those; None where 32-bit lanes do not hold all, or channels are not those of the innermost rows, or have scales."""
    first, second = gains(op, spec), words(requantize, between, 1)
    if first is None or second is None or first.even or second.even or x.dtype.itemsize > 4:
        return None
    if first.division.apart is not None:
        return None
    order, rows = _rows(x)
    if requantize.axis is not None and order[-2:-1] != (requantize.axis,):
        return None
    out = empty(rows.shape, requantize.spec.container)
    arguments = (
        rows,
        *_divided(op, first),
        *_scalars(op, first),
        second.left,
        second.multiplier,
        second.offset,
        second.right,
        second.zero_point,
        requantize.spec.qmin,
        requantize.spec.qmax,
        out,
    )
    layernorm_codes(*arguments)
    return _as_ordered(out, x, order)


@lru_cache(maxsize=64)
def _order(strides: tuple[int, ...]) -> tuple[int, ...]:
    """Axes from the one whose elements lie farthest apart on, the last one last."""
    last = len(strides) - 1
    return (*sorted(range(last), key=lambda axis: -abs(strides[axis])), last)


def _rows(x: Array) -> tuple[tuple[int, ...], Array]:
    """The order of axes in memory; x in it as (O, R, C)."""
    order, last = _order(x.strides), x.ndim - 1
    ordered = x.transpose(order)
    rows = ordered.reshape(-1, ordered.shape[-2] if last else 1, ordered.shape[-1])
    return order, rows if rows.strides[-1] == rows.itemsize else np.ascontiguousarray(rows)


def _as_ordered(out: Array, x: Array, order: tuple[int, ...]) -> Array:
    """`out` (O, R, C) with the axes of x, which lie in memory in this order."""
    shape = tuple(x.shape[axis] for axis in order)
    return out.reshape(shape).transpose(inverse(order))


def _divided(op: RowNorm, constants: Gains) -> tuple[Any, ...]:
    """Arguments of the kernels from `times` to `short`."""
    division = constants.division
    return division.times, division.fraction, op.epsilon, division.bits, division.n_bits, division.short


def _scalars(op: RowNorm, constants: Gains) -> tuple[Any, ...]:
    """Arguments of the kernels from `gain` to `qmax`."""
    return constants.gain, constants.offset, constants.right, op.spec.zero_point[0], op.spec.qmin, op.spec.qmax
