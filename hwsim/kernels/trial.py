"""A trial of one kernel tier, in a process of its own: `python -m hwsim.kernels.trial NAME` prints what it showed.

Products of all kinds are compared with the oracle's, and permuted bytes with their table's, so that the kernels are also
compiled and kept for later processes.
"""

import json
import math
import statistics
import sys
import time
from dataclasses import asdict

import numpy as np

from hwsim.kernels.choose import Trial, kind_of
from hwsim.kernels.kernel import features
from hwsim.kernels.memory import empty
from hwsim.kernels.simd.instructions import Vpermi2b
from hwsim.kernels.simd.lookup import PERMUTED, lookup_permuted
from hwsim.kernels.tier import Array, Finish, Grid, Tier
from hwsim.kernels.tiers.oracle import Oracle

SHAPES = ((1, 1, 1), (7, 40, 33), (33, 8, 130), (50, 197, 64), (6, 384, 64))
BYTES = ((4, False, 4, True), (8, False, 8, True), (8, True, 8, False), (1, False, 2, False), (6, True, 6, True))
WIDTHS = (*BYTES, (8, False, 4, True), (12, True, 8, True), (15, False, 4, False))
PLACES, ROUNDS = 7, 21
LEFT, RIGHT = Grid(0, 15, np.zeros((1, 1), np.int64)), Grid(-8, 7, np.zeros((1, 1), np.int64))
"""What pairs are timed on."""


def try_tier(name: str) -> Trial:
    """Compare the tier `name` with the oracle, time it with and without pairs, and see what tables of bytes it has."""
    tested = kind_of(name)()
    generator = np.random.default_rng(0)
    for paired in (False, True):
        tested.pairs = paired
        for shape in SHAPES:
            for widths in WIDTHS:
                if not _agrees(tested, generator, shape, widths):
                    return Trial(name, f"wrong products of {shape} at {widths}{' in pairs' if paired else ''}")
    return Trial(name, pairs=_gain(tested), permutes=_permutes(tested, generator))


def _agrees(
    tested: Tier, generator: np.random.Generator, shape: tuple[int, int, int], widths: tuple[int | bool, ...]
) -> bool:
    rows, depth, columns = shape
    left, left_grid = _operand(generator, (2, rows, depth), *widths[:2])
    right, right_grid = _operand(generator, (2, depth, columns), *widths[2:])
    if not tested.takes(left_grid, right_grid, depth):
        return True
    oracle = Oracle()
    operands = [(kind, kind.pack(right, right_grid, left_grid)) for kind in (tested, oracle)]
    for finish in (None, *(_finish(generator, columns, size, even) for size in (1, 2, 4) for even in (False, True))):
        ours, theirs = (kind.product(left, left_grid, packed, finish) for kind, packed in operands)
        if not np.array_equal(ours, theirs):
            return False
    return True


def _operand(generator: np.random.Generator, shape: tuple[int, ...], bits: int, signed: int) -> tuple[Array, Grid]:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    codes = generator.integers(low, high + 1, shape)
    container = np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    return codes.astype(container), Grid(low, high, generator.integers(low, high + 1, (2, 1)))


def _finish(generator: np.random.Generator, columns: int, size: int, even: bool) -> Finish:
    multiplier = generator.integers(1 << 29, 1 << 31, (2, columns))
    right = generator.integers(0, 12, (2, columns))
    offset = np.left_shift(1, right + 31) + generator.integers(-(1 << 30), 1 << 30, (2, columns))
    if even:
        multiplier, offset = multiplier & -(1 << 28), np.left_shift(1, right + 31)  # many exact ties
    left, zero = generator.integers(0, 2, (2, columns)), generator.integers(-9, 9, (2, columns))
    limit = 1 << (7 if size == 1 else 15)
    arrays: tuple[Array, ...] = (left, multiplier, offset, right, zero)
    arrays = tuple(values if values is offset else values.astype(np.int32) for values in arrays)
    return Finish.of(columns, arrays, -limit, limit - 1, even, np.dtype(f"i{size}"))


def _permutes(tested: Tier, generator: np.random.Generator) -> bool:
    """Whether there are byte permutations, and they find every entry."""
    if not tested.permutable or not features().issuperset(Vpermi2b.features):
        return False
    right = []
    for size, entries in PERMUTED.items():
        codes = (generator.permutation(5 * entries + 7) % entries).astype(f"u{size}")
        table, found = generator.integers(0, 256, entries).astype(np.uint8), np.empty(codes.size, np.uint8)
        lookup_permuted(codes, 0, entries, table, found)
        right.append(np.array_equal(found, table[codes]))
    return all(right)


def _gain(tested: Tier) -> float:
    """Time of a product without pairs over the time with them, at 4 bits: the median over places in memory, which count for
    as much as pairs do; at each the least time of rounds taken in turns, because what else runs must not decide."""
    if not tested.pairable:
        return 0.0
    held, ratios = [], []
    for _ in range(PLACES):
        left, right = empty((1, 192, 768), np.uint8), np.ones((1, 768, 384), np.int8)
        left[...] = 1
        held.append(left)  # so that the next one lies elsewhere
        packings = []
        for tested.pairs in (False, True):
            packings.append(tested.pack(right, RIGHT, LEFT))
        held += [packed.data for packed in packings]
        least = [math.inf, math.inf]
        for _ in range(ROUNDS):
            for which, packed in enumerate(packings):
                start = time.perf_counter()
                tested.product(left, LEFT, packed)
                least[which] = min(least[which], time.perf_counter() - start)
        ratios.append(least[0] / least[1])
    return statistics.median(ratios)


if __name__ == "__main__":
    print(json.dumps(asdict(try_tier(sys.argv[1]))))
