"""Softmax by a table of weights (S12d; S12a, S12b and S12c of few bits) row by row in vectors, alone or with the requantize
(S4) that takes its codes."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from hwsim.kernels.memory import empty
from hwsim.kernels.simd.softmax import softmax_codes, softmax_log_codes, softmax_rows
from hwsim.kernels.simd.vectors import LANES
from hwsim.op import Array
from hwsim.ops._rescale import words
from hwsim.spec import TensorSpec, narrowest

if TYPE_CHECKING:
    from hwsim.ops.requantize import Requantize

MOST_BITS = 16
"""Widest scores whose weights are computed once, for every difference."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Constants of `softmax_rows`: the table, behind a 0 from the weight of the largest difference on, the numerator of the
    factors, S4 with a shift of 32 or more, the largest code."""

    table: npt.NDArray[np.int64]
    numerator: int
    half: int
    right: int
    qmax: int


class Softmax(Protocol):
    """An operator whose weights depend on the score's difference to the row's maximum alone."""

    def rows(self, scores: TensorSpec) -> Rows | None: ...


def table_of(weights: Array, length: int, left: int = 0) -> npt.NDArray[np.int64] | None:
    """`weights` by the difference, from 0 on, times 2^left, as the kernels take them for rows of `length`; None where a
    lane's sum needs more than 32 bits, or a row fills no vector."""
    largest = int(weights.max()) << left
    fits = length >= LANES and -(-length // LANES) * largest < 1 << 32 and largest < 1 << 31
    return np.concatenate(([0], weights[::-1] << left)) if fits else None


def rows_of(weights: Array, numerator: int, shift: int, half: int, bits: int, length: int) -> Rows | None:
    """Constants for `weights` by the difference and rows of `length`; None where `table_of` has none, or a factor needs more
    than 32 bits. What the shift lacks to 32 is in the weights and in the numerator."""
    first, left = int(weights[0]), max(0, 32 - shift)
    table = table_of(weights, length, left)
    fits = first > 0 and numerator // first < 1 << 31 and numerator.bit_length() + left <= 62 and 1 <= bits <= 16
    if table is None or not fits:
        return None
    return Rows(table, numerator << left, half << left, shift - 32 + left, (1 << bits) - 1)


def log_codes_in_rows(table: Array, scores: Array, last: int) -> Array:
    """Log2 codes (S12c) up to `last` of scores (..., N), whose weights `table_of` has put in order."""
    out = empty(scores.shape, narrowest(0, last))
    length = scores.shape[-1]
    softmax_log_codes(np.ascontiguousarray(scores).reshape(-1, length), table, last, out.reshape(-1, length))
    return out


def softmax_in_rows(op: Softmax, scores: Array, spec: TensorSpec) -> Array | None:
    """Codes of `op` for scores (..., N) of `spec`, or None where 32-bit lanes do not hold all."""
    constants = op.rows(spec) if scores.dtype.itemsize <= 2 else None
    if constants is None:
        return None
    out = empty(scores.shape, narrowest(0, constants.qmax))
    length = scores.shape[-1]
    softmax_rows(
        np.ascontiguousarray(scores).reshape(-1, length),
        constants.table,
        constants.numerator,
        constants.half,
        constants.right,
        constants.qmax,
        out.reshape(-1, length),
    )
    return out


def softmax_requantize(
    softmax: Softmax, requantize: "Requantize", scores: Array, spec: TensorSpec, between: TensorSpec
) -> Array | None:
    """What `requantize` makes of the codes (of `between`) that `softmax` makes of scores (..., N) of `spec`, without an
    array of those; None where 32-bit lanes do not hold all, or channels lie along the rows."""
    axis, last = requantize.axis, scores.ndim - 1
    if axis == last or scores.dtype.itemsize > 2:
        return None
    first, second = softmax.rows(spec), words(requantize, between, 1)
    if first is None or second is None:
        return None
    out = empty(scores.shape, requantize.spec.container)
    inner = math.prod(scores.shape[(last if axis is None else axis + 1) : last])
    length = scores.shape[-1]
    softmax_codes(
        np.ascontiguousarray(scores).reshape(-1, length),
        first.table,
        first.numerator,
        first.half,
        first.right,
        first.qmax,
        second.left,
        second.multiplier,
        second.offset,
        second.right,
        second.zero_point,
        requantize.spec.qmin,
        requantize.spec.qmax,
        second.even,
        inner,
        out.reshape(-1, length),
    )
    return out
