"""Which tiles of a GEMM Bit Fusion's simulator tries, and the bits that each moves under each order of the loops.

Tiles. M and K are cut into 1, 2, 4, ..., N into `cols` times these, or left whole; at the edge a tile counts as full.
Half of each buffer must hold a tile (the other half is being filled), codes at their true width, sums at `acc_bits`.
In the weight buffer k is rounded up to the lanes (products that one cycle adds to a sum), in the output buffer n to cols.

DRAM to buffers. A buffer keeps what the inner loops touch as long as its half holds it. From the first loop on with which
it does not, every loop further out loads it anew, also one that it does not depend on. Sums are loaded and written back
alike, even those that begin at zero: each crosses DRAM at least twice.

Buffers to units. While a tile is worked on one operand stays with the units and moves once per value, the others move once
per MAC (sums there and back). The one stays for which the fewest bits move, sizes rounded up to the array; of equals the
first of `USES`. Sums of 32 bits always do, with two lanes or more and operands of 16 bits or fewer.
"""

from collections.abc import Iterable, Mapping
from itertools import permutations

import numpy as np

from hwsim.accel.folds import Counts
from hwsim.errors import HwsimError

Named = dict[str, Counts]
"""Whole numbers by dimension or buffer, of shape (tiles,) or (orders, tiles)."""

USES = {"ibuf": ("m", "k"), "obuf": ("m", "n"), "wbuf": ("k", "n")}
"""The dimensions of what lies in each buffer: activations, sums, weights."""

ORDERS = tuple(permutations("mkn"))
"""Orders of the loops over tiles, outermost first."""


def tiles_that_fit(
    m: int, k: int, n: int, lanes: int, cols: int, bits: Mapping[str, int], room: Mapping[str, float]
) -> tuple[Named, Named, Named]:
    """Tiles of an (m, k) x (k, n) GEMM: sizes by dimension, the same rounded up to the array, and bits in each buffer.

    `bits` are those of one value in each buffer, `room` the bits that a tile may take there. Raises HwsimError where none
    fits.
    """
    grids = np.meshgrid(_doubled(1, m), _doubled(1, k), _doubled(cols, n), indexing="ij")
    tile = {name: grid.ravel() for name, grid in zip("mkn", grids, strict=True)}
    padded = {"m": tile["m"], "k": _up(tile["k"], lanes), "n": _up(tile["n"], cols)}
    size = {
        "ibuf": tile["m"] * tile["k"] * bits["ibuf"],
        "obuf": tile["m"] * padded["n"] * bits["obuf"],
        "wbuf": padded["k"] * tile["n"] * bits["wbuf"],
    }
    fits = np.logical_and.reduce([size[buffer] <= room[buffer] for buffer in USES])
    if not fits.any():
        got = ", ".join(f"{buffer} {room[buffer] / 4096:g} for {size[buffer][0] / 4096:g} KiB" for buffer in USES)
        raise HwsimError(f"bitfusion: each buffer must hold two of the smallest tiles, got {got}; enlarge the buffer")

    def fitting(named: Named) -> Named:
        return {name: values[fits] for name, values in named.items()}

    return fitting(tile), fitting(padded), fitting(size)


def loads(size: Named, room: Mapping[str, float], trips: Named) -> tuple[Named, Named]:
    """Bits that enter each buffer from DRAM, and the most that it holds of what it keeps: (orders, tiles)."""
    loaded, held = {}, {}
    for buffer, used in USES.items():
        loops = ([(trips[name], name in used) for name in reversed(order)] for order in ORDERS)
        pairs = [_kept(size[buffer], room[buffer], inner_first) for inner_first in loops]
        loaded[buffer], held[buffer] = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    return loaded, held


def accesses(tile: Named, padded: Named, bits: Mapping[str, int]) -> Named:
    """Bits that the units read from each buffer for one tile, and as many for the sums that they write: (tiles,)."""
    others = {"ibuf": "n", "obuf": "k", "wbuf": "m"}
    spent = [
        padded[one] * padded[two] * (bits[buffer] + padded[others[buffer]] * (sum(bits.values()) - bits[buffer]))
        for buffer, (one, two) in USES.items()
    ]
    stays, macs = np.argmin(spent, axis=0), tile["m"] * tile["k"] * tile["n"]
    return {
        buffer: np.where(stays == at, tile[one] * tile[two], macs) * bits[buffer]
        for at, (buffer, (one, two)) in enumerate(USES.items())
    }


def _doubled(step: int, whole: int) -> Counts:
    """step, 2 step, 4 step, ... as long as below `whole`, then `whole`."""
    sizes = []
    while step < whole:
        sizes.append(step)
        step *= 2
    return np.array([*sizes, whole], dtype=np.int64)


def _up(sizes: Counts, step: int) -> Counts:
    """Rounded up to multiples of `step`."""
    return -(-sizes // step) * step


def _kept(size: Counts, room: float, loops: Iterable[tuple[Counts, bool]]) -> tuple[Counts, Counts]:
    """Bits that enter one buffer under loops of (trips, whether what it holds depends on them), and the most it holds."""
    moved = most = size
    fits = np.ones(size.shape, dtype=np.bool_)
    for trips, used in loops:
        moved = moved * trips if used else np.where(fits, moved, moved * trips)
        fits = fits & (moved <= room)
        most = np.where(fits, moved, most)
    return moved, most
