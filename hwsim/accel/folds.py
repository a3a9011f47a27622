"""How long a systolic array takes for the folds of one GEMM, one after the other or back to back.

A fold is one pass over the array: each row of PEs takes in a stream of T values (`steps`), one per cycle, row i and
column j delayed by i + j cycles (the skew). Where an operand is stationary, its tile enters through the top row before,
one row per cycle. `down` x `across` folds cover the two dimensions that lie on the array; they run row of folds by row
of folds, so those of the lowest height come last. With r x c the size of fold f (rows x cols, or what is left for it at
the edge), its first PE starts at cycle s(f) and the fold ends at s(f) + T + r + c - 2:

    one by one      s(f+1) = end(f) [+ r' to load the next tile, unless shadow registers held it already]
    back to back    s(f+1) = s(f) + T                 nothing is stationary: each PE goes on to the next fold at once
                    s(f+1) = s(f) + T + r'            stationary: a PE loads or computes, the load follows the stream
                    s(f+1) = s(f) + max(T, r')        with shadow registers, which a PE may refill once it has started

r' is the height of fold f + 1, s(0) the height of the first where a tile must be loaded, else 0. The total is the last
of all ends: a small fold at the edge may end before a large one that started earlier. Results leave the PEs beside the
streams, at no cost in cycles: back to back with T < R and nothing stationary, that is more than one per column and cycle.

Equal products follow each other as their folds do: one by one each starts on an empty array (but for shadow registers, which
hold its first tile already), back to back the first fold of the next follows the last fold of this one.

The rules back to back are our derivation. For folds of equal size they come to F T + R + C - 2 with nothing stationary,
F (T + R) + R + C - 2 with stationary tiles, and R + (F - 1) max(T, R) + T + R + C - 2 with shadow registers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Whole numbers, one per configuration; all of a result have one shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """`down` x `across` folds of `steps` cycles each on an array of `rows` x `cols` PEs.

    Those of the last row are `last_height` PEs high, those of the last column `last_width` wide. `loads` says whether a
    stationary tile enters the PEs ahead of each stream.
    """

    rows: Counts
    cols: Counts
    steps: Counts
    down: Counts
    across: Counts
    last_height: Counts
    last_width: Counts
    loads: bool

    @property
    def count(self) -> Counts:
        """Number of folds."""
        return self.down * self.across

    @property
    def first_height(self) -> Counts:
        """Height of the first fold, in PEs."""
        return np.where(self.down > 1, self.rows, self.last_height)


def cut(rows: Counts, cols: Counts, high: Counts, wide: Counts, steps: Counts, loads: bool, true_edges: bool) -> Folds:
    """The folds of `high` x `wide` values on `rows` x `cols` PEs; folds at the edge count as full but with `true_edges`."""
    down, across = -(-high // rows), -(-wide // cols)
    last_height = high - (down - 1) * rows if true_edges else rows
    last_width = wide - (across - 1) * cols if true_edges else cols
    return Folds(rows, cols, steps, down, across, last_height, last_width, loads)


def serial_cycles(folds: Folds, shadow_registers: bool, products: Counts) -> Counts:
    """Cycles of so many equal `products` when a fold starts once the one before has ended.

    Shadow registers hide every load but the first: no fold is higher than the one before, which takes T + r + c - 2 >= r.
    """
    heights = folds.across * ((folds.down - 1) * folds.rows + folds.last_height)
    widths = folds.down * ((folds.across - 1) * folds.cols + folds.last_width)
    cycles = products * (folds.count * (folds.steps - 2) + heights + widths)
    if not folds.loads:
        return cycles
    return cycles + (folds.first_height if shadow_registers else products * heights)


def pipelined_cycles(folds: Folds, shadow_registers: bool, products: Counts) -> Counts:
    """Cycles of so many equal `products` when a PE goes on to the next fold as soon as it can.

    Of the folds of one size the last ends last; there are at most four sizes, and the latest of their ends counts.
    """

    def period(height: Counts) -> Counts:
        """Cycles from the start of the fold before to that of a fold of this height."""
        if not folds.loads:
            return folds.steps
        return np.maximum(folds.steps, height) if shadow_registers else folds.steps + height

    full = (folds.down - 1) * folds.across  # folds in the rows that are of full height
    start = folds.first_height if folds.loads else np.zeros_like(full)
    latest = np.zeros_like(full)
    for height, until in ((folds.rows, full), (folds.last_height, folds.count)):
        for width, back in ((folds.last_width, 1), (folds.cols, 2)):
            exists, index = (until > 0) & (folds.across >= back), until - back
            before = np.minimum(index, np.maximum(full - 1, 0))  # starts up to this fold's that are of full height
            started = start + before * period(folds.rows) + (index - before) * period(folds.last_height)
            latest = np.maximum(latest, np.where(exists, started + folds.steps + height + width - 2, 0))
    rest = folds.count - full
    whole = full * period(folds.rows) + rest * period(folds.last_height)  # from one product's start to the next one's
    return np.asarray(latest + (products - 1) * whole, dtype=np.int64)
