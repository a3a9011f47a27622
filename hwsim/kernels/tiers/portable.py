"""Exact products by floating-point BLAS, on any CPU, for operands of any width.

Sums of integers are exact in a float as long as no partial sum, in whatever order BLAS takes, leaves its significand. With
A the largest magnitude of a left operand, that is sure where A times the sum of magnitudes of every column is below
2^24 (float32) or 2^53 (float64). Where float32 does not reach, K is split into a few parts that do, else float64 is used.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.memory import empty, empty_like
from hwsim.kernels.packing import pack_floats
from hwsim.kernels.simd.rows import finish_sums
from hwsim.kernels.team import shared
from hwsim.kernels.tier import Array, Finish, Grid, Packed, Tier, together

SINGLE, DOUBLE = 1 << 24, 1 << 53
"""Partial sums below these are exact in float32 and float64."""

ROWS = 32
"""Rows of each product that a thread of a team takes at least."""

SHORTEST = 128
"""Products of fewer k than this are not worth a call of BLAS each."""


class Portable(Tier):
    """float32, or float64 where the certificate asks for it."""

    name = "portable"

    def pack(self, right: Array, grid: Grid, left: Grid) -> Packed:
        """Columns as centred floats, and how many k of them may be summed at once."""
        right = together(right)
        _, depth, columns = right.shape
        kind: np.dtype[Any] = np.dtype(np.float32)
        part = depth
        if depth * left.reach * grid.reach >= SINGLE:
            zero = grid.zero[np.arange(right.shape[0]) % grid.zero.shape[0], np.newaxis]
            magnitudes = np.abs(np.subtract(right, zero, dtype=np.int64))
            most = int(magnitudes.sum(axis=1).max()) * left.reach
            assert most < DOUBLE  # accumulators fit int32 (S3)
            if most >= SINGLE:
                part = (SINGLE - 1) // max(1, int(magnitudes.max()) * left.reach)
                if part < SHORTEST:
                    kind, part = np.dtype(np.float64), depth
        data = empty_like(right, kind)
        if right.strides[1] < right.strides[2]:
            pack_floats(right.transpose(0, 2, 1), grid.zero[:, :, np.newaxis], data.transpose(0, 2, 1))
        else:
            pack_floats(right, grid.zero[:, np.newaxis], data)
        return Packed(depth, columns, grid, data, {"part": part})

    def product(
        self,
        left: Array,
        grid: Grid,
        right: Packed,
        finish: Finish | None = None,
        out: Array | None = None,
    ) -> Array:
        """One BLAS call per part of K; the parts are added as int32."""
        left = together(left)
        groups, height, depth = left.shape
        kind, part = right.data.dtype, right.extra["part"]
        if out is None:
            container = np.dtype(np.int32) if finish is None else finish.container
            out = empty((groups, 1, height, right.columns), container)
        residual = None if finish is None or finish.residual is None else finish.residual.reshape(groups, height, -1)

        def rows(start: int, stop: int) -> None:
            a = empty((groups, stop - start, depth), kind)
            pack_floats(left[:, start:stop], grid.zero[:, np.newaxis], a)
            some = finish if finish is None or residual is None else replace(finish, residual=residual[:, start:stop])
            finish_sums(self._sums(a, right.data, part), some, out[:, :, start:stop])

        shared(height, ROWS, rows)
        return out.reshape(groups, height, right.columns) if out.shape[1] == 1 else out

    def _sums(self, a: Array, b: Array, part: int) -> npt.NDArray[np.generic]:
        depth = a.shape[2]
        if part >= depth:
            sums = empty((a.shape[0], a.shape[1], b.shape[2]), a.dtype)
            return np.matmul(a, b, out=sums)
        total = np.zeros((a.shape[0], a.shape[1], b.shape[2]), np.int32)
        for k in range(0, depth, part):
            total += np.matmul(a[:, :, k : k + part], b[:, k : k + part]).astype(np.int32)
        return total
