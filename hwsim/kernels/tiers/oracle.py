"""Sums and requantization in int64, one NumPy expression each: what the other tiers are compared with."""

import numpy as np

from hwsim.kernels.tier import Array, Finish, Grid, Packed, Tier, together


class Oracle(Tier):
    """Slow, and easy to believe."""

    name = "oracle"

    def pack(self, right: Array, grid: Grid, left: Grid) -> Packed:
        """Codes less their zero points."""
        right = together(right)
        zero = grid.zero[np.arange(right.shape[0]) % grid.zero.shape[0], np.newaxis]
        return Packed(right.shape[1], right.shape[2], grid, right.astype(np.int64) - zero)

    def product(
        self,
        left: Array,
        grid: Grid,
        right: Packed,
        finish: Finish | None = None,
        out: Array | None = None,
    ) -> Array:
        """S3, then S4."""
        left = together(left)
        zero = grid.zero[np.arange(len(left)) % grid.zero.shape[0], np.newaxis]
        sums = np.matmul(left.astype(np.int64) - zero, right.data)
        result = sums.astype(np.int32) if finish is None else _codes(sums, finish)
        if out is None:
            return result
        out[...] = result.reshape(out.shape)
        return out


def _codes(sums: Array, finish: Finish) -> Array:
    index, columns = np.arange(len(sums)) % len(finish.multiplier), sums.shape[2]
    left, multiplier, offset, right, zero = (
        values[index, np.newaxis, :columns].astype(np.int64)
        for values in (finish.left, finish.multiplier, finish.offset, finish.right, finish.zero)
    )
    products = (sums << left) * multiplier + offset
    codes = products >> (right + 32)
    if finish.even:
        codes -= np.where(codes << (right + 32) == products, codes & 1, 0)
    codes = np.clip(codes + zero, finish.low, finish.high)
    if finish.residual is not None:
        codes = np.clip(codes + finish.residual.reshape(codes.shape), finish.low, finish.high)
    result: Array = codes.astype(finish.container)
    return result
