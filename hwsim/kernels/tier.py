"""What a tier of kernels is: one way to compute exact integer products (S3), and what may follow on each sum (S4).

All tiers give the same integers. A tier packs the right operand once, and multiplies any number of left ones by it:

    acc[g, m, n] = sum over k of (left[g, m, k] - zero of left) * (right[g, k, n] - zero of right)

Where a tier cannot take two operands (`takes`), the portable one does.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hwsim.kernels.simd.vectors import LANES, ORDER

Array = npt.NDArray[Any]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Codes of an operand: all of them are low..high; `zero` (Z, 1) or, of a right operand, (Z, N): zero points of group g at
    index g modulo Z."""

    low: int
    high: int
    zero: Int64

    @property
    def one_zero_per_group(self) -> bool:
        """No column has a zero point of its own."""
        return bool(self.zero.shape[1] == 1)

    @property
    def reach(self) -> int:
        """The largest magnitude of a code less its zero point."""
        return max(abs(self.low - int(self.zero.max())), abs(self.high - int(self.zero.min())))


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """Requantization of sums (S4) with the constants of `hwsim/ops/_rescale.py`: arrays (Q, N'), group g at index g modulo Q.

        y = (acc << left) * multiplier + offset          code = clamp((y >> (32 + right)) + zero, low, high)

    `even` takes 1 off an odd code before zero is added if y was an exact tie. lanes: `offset` in the order of vectors.py.
    residual: int16 codes that lie in memory as the result will, N a multiple of LANES; they are added at last, and the sum
    is clamped again.
    """

    left: Int32
    multiplier: Int32
    offset: Int64
    right: Int32
    zero: Int32
    low: int
    high: int
    even: bool
    container: np.dtype[Any]
    lanes: Int64
    residual: Array | None = None

    @classmethod
    def of(
        cls, columns: int, arrays: tuple[Array, ...], low: int, high: int, even: bool, container: np.dtype[Any]
    ) -> Self:
        """left, multiplier, offset, right, zero: arrays (Q, 1) or (Q, N) of `columns`."""
        left, multiplier, offset, right, zero = (_widened(values, columns) for values in arrays)
        lanes = offset.reshape(len(offset), -1, LANES)[:, :, ORDER].reshape(offset.shape)
        return cls(left, multiplier, offset, right, zero, low, high, even, container, np.ascontiguousarray(lanes))


def _widened(values: Array, columns: int) -> Array:
    """(Q, 1) or (Q, N) as (Q, N'), N' a multiple of LANES; the columns added repeat the last."""
    wide = np.broadcast_to(values, (values.shape[0], columns))
    return np.ascontiguousarray(np.pad(wide, ((0, 0), (0, -columns % LANES)), mode="edge"))


def apart(operand: Array) -> Array:
    """(G1, G2, M, K) of that or of (G, M, K)."""
    return operand if operand.ndim == 4 else operand[np.newaxis]


def together(operand: Array) -> Array:
    """(G, M, K) of that or of (G1, G2, M, K)."""
    return operand if operand.ndim == 3 else operand.reshape(-1, *operand.shape[2:])


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A right operand as one tier wants it: K, N, its grid, and arrays of the tier's own."""

    depth: int
    columns: int
    grid: Grid
    data: Array
    extra: dict[str, Any] = field(default_factory=dict)


class Tier(ABC):
    """One way to compute products."""

    name: str
    features: tuple[tuple[str, ...], ...] = ()
    """Sets of features, in LLVM's names, of which the CPU must have one."""

    def takes(self, left: Grid, right: Grid, depth: int) -> bool:
        """Whether products of these are exact here."""
        return True

    pairable: bool = False
    """Whether it can compute two products with one multiplication."""
    pairs: bool = False
    """Whether it does, where operands are small enough (simd/tiles.py)."""
    rows: int = 1
    """Blocks of a multiple of as many rows waste nothing."""
    permutable: bool = False
    """Whether CPUs that have it may also have byte permutations (simd/lookup.py)."""
    permutes: bool = False
    """Whether this one has: only then are they ever compiled."""

    @abstractmethod
    def pack(self, right: Array, grid: Grid, left: Grid) -> Packed:
        """`right` (G', K, N), any strides, for products with operands of the grid `left`; groups may lie along two axes."""

    @abstractmethod
    def product(
        self,
        left: Array,
        grid: Grid,
        right: Packed,
        finish: Finish | None = None,
        out: Array | None = None,
    ) -> Array:
        """(G, M, N) of `left` (G, M, K), any strides, and a packed operand with G' = G or 1: int32 sums, or codes; the
        groups of `left` may lie along two axes.

        out: where the result goes, (G1, G2, M, N) with G1 * G2 = G, the last axis contiguous.
        """
