"""What Bit Fusion's own simulator says of one GEMM (M, K) x (K, N): tiles, loop order, cycles, bits moved, energy.

Source: Sharma et al., ISCA 2018 (arXiv 1712.01507), and what the tool (github.com/hsharma35/bitfusion) computes for
fully connected layers. Its convolutions go another way and are not here; a patch embedding is a GEMM.

Array. `rows` units lie along K, `cols` along N. A unit is cut into f = floor(max / a) floor(max / w) multipliers, with
a, w >= min_bits: 1, 2, 4, 4, 16 at 8/8, 8/4, 4/4, 3/3, 2/2 bits. All of them lie along K: one cycle adds rows f products
to each of cols sums, without fill or drain. A tile of m x k x n takes m ceil(k / (rows f)) ceil(n / cols) cycles.

Search. Of all tiles that fit and all orders of the loops over them (`bitfusion_tiles`) the one of the fewest cycles is
taken, of these the one of least energy; the tool leaves open which of several, we take the first.

    between = bits to and from DRAM - first - last
    stall = max(0, ceil(between / bandwidth) - compute) + ceil(first / bandwidth) + ceil(last / bandwidth)

first: what the three buffers hold when full; last: the sums among it.

Energy in pJ, dynamic only, at 45 nm and 500 MHz. The constants are those of the tool's 16 x 32 configuration, from the
synthesis and CACTI tables that it ships; here they serve buffers of any size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.accel.bitfusion_tiles import ORDERS, USES, Named, accesses, loads, tiles_that_fit
from hwsim.errors import HwsimError

UNIT_ENERGY = 3_673_500e-9 / 16 / 500e6 * 1e12
"""pJ per unit and cycle, 0.459: printed is the dynamic power of 4 x 4 units, 3,673,500 nW at 500 MHz."""

READ_ENERGY = {"ibuf": 1.90318 / 32, "obuf": 1.06097 / 32, "wbuf": 0.683701 / 32}
"""pJ per bit; printed is pJ per read of a word of 32 bits, in banks of 2 KiB, 512 B and 128 B."""

WRITE_ENERGY = {"ibuf": 3.63853 / 32, "obuf": 2.33869 / 32, "wbuf": 0.925317 / 32}
"""pJ per bit, likewise."""

DRAM_ENERGY = 15.0
"""pJ per bit read or written: what the tool's code has; its comment there says 6."""

LIMIT = 2**62
"""What no count of bits may reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BitFusionLayer:
    """One GEMM on Bit Fusion. Reads and writes of DRAM and of each buffer are in bits, energies in pJ."""

    compute: int
    """Cycles in which the units work."""
    stall: int
    """Cycles in which they wait for DRAM."""
    dram_reads: int
    dram_writes: int
    ibuf_reads: int
    ibuf_writes: int
    obuf_reads: int
    obuf_writes: int
    wbuf_reads: int
    wbuf_writes: int
    core_energy: float
    sram_energy: float
    dram_energy: float
    tile: tuple[int, int, int]
    """Its size along m, k, n."""
    order: str
    """Loops over tiles, outermost first, as "mkn"."""

    @property
    def cycles(self) -> int:
        """Cycles of the whole GEMM."""
        return self.compute + self.stall


@lru_cache(maxsize=4096)
def layer(
    m: int,
    k: int,
    n: int,
    a_bits: int,
    w_bits: int,
    *,
    rows: int = 16,
    cols: int = 32,
    max_bits: int = 8,
    min_bits: int = 2,
    ibuf_kib: float = 32,
    wbuf_kib: float = 64,
    obuf_kib: float = 16,
    dram_bits_per_cycle: float = 192,
    acc_bits: int = 32,
) -> BitFusionLayer:
    """(m, k) activations x (k, n) weights, or any two operands; the defaults are the tool's 16 x 32 units.

    Raises HwsimError for what is not above zero, codes wider than a unit, buffers that do not hold two of the smallest
    tiles, and GEMMs whose bits may exceed 64 bits.
    """
    numbers = {"m": m, "k": k, "n": n, "a_bits": a_bits, "w_bits": w_bits, "rows": rows, "cols": cols}
    _check(numbers | {"min_bits": min_bits, "acc_bits": acc_bits, "dram_bits_per_cycle": dram_bits_per_cycle})
    if max(a_bits, w_bits, min_bits) > max_bits:
        got = f"{a_bits} x {w_bits} bits, min_bits {min_bits}"
        raise HwsimError(f"bitfusion: no width may exceed max_bits = {max_bits}, got {got}; raise max_bits")
    lanes = rows * (max_bits // max(a_bits, min_bits)) * (max_bits // max(w_bits, min_bits))
    bits = {"ibuf": a_bits, "obuf": acc_bits, "wbuf": w_bits}
    bound = 16 * m * k * lanes * (n + cols) * (a_bits + w_bits + 2 * acc_bits)  # more than any tiles and order move
    if bound >= LIMIT:
        raise HwsimError(f"bitfusion: bits moved must stay below 2**62, got up to {bound:.1e}; split the GEMM")

    room = {"ibuf": ibuf_kib * 4096, "obuf": obuf_kib * 4096, "wbuf": wbuf_kib * 4096}  # bits of half a buffer
    tile, padded, size = tiles_that_fit(m, k, n, lanes, cols, bits, room)
    trips = {"m": -(-m // tile["m"]), "k": -(-k // tile["k"]), "n": -(-n // tile["n"])}
    tiles = trips["m"] * trips["k"] * trips["n"]
    compute = tiles * padded["m"] * (padded["k"] // lanes) * (padded["n"] // cols)
    loaded, held = loads(size, room, trips)
    counts = {"dram_reads": loaded["ibuf"] + loaded["obuf"] + loaded["wbuf"], "dram_writes": loaded["obuf"]}
    first, last = held["ibuf"] + held["obuf"] + held["wbuf"], held["obuf"]
    between = counts["dram_reads"] + counts["dram_writes"] - first - last
    middle, load, store = (np.ceil(of / dram_bits_per_cycle).astype(np.int64) for of in (between, first, last))
    counts |= {"compute": compute + np.zeros_like(middle), "stall": np.maximum(middle - compute, 0) + load + store}
    for buffer, moved in accesses(tile, padded, bits).items():
        sums = buffer == "obuf"  # they alone go back to DRAM, and are written by the units
        counts[f"{buffer}_reads"] = tiles * moved + loaded[buffer] * sums
        counts[f"{buffer}_writes"] = tiles * moved * sums + loaded[buffer]
    return _best(counts, _energies(counts, rows * cols), tile)


def _check(numbers: Mapping[str, float]) -> None:
    """Raises HwsimError for what is not above zero."""
    for name, number in numbers.items():
        if not number > 0:
            raise HwsimError(f"bitfusion: {name} must be above zero, got {number}; it is a size or a width")


def _energies(counts: Named, units: int) -> dict[str, NDArray[np.float64]]:
    """pJ of the units, the buffers and DRAM, by the field of the result."""
    sram = [READ_ENERGY[of] * counts[f"{of}_reads"] + WRITE_ENERGY[of] * counts[f"{of}_writes"] for of in USES]
    return {
        "core_energy": UNIT_ENERGY * units * counts["compute"],
        "sram_energy": np.add.reduce(sram),
        "dram_energy": DRAM_ENERGY * (counts["dram_reads"] + counts["dram_writes"]),
    }


def _best(counts: Named, energies: Mapping[str, NDArray[np.float64]], tile: Named) -> BitFusionLayer:
    """The order and tile of the fewest cycles, of these the first of least energy."""
    cycles = counts["compute"] + counts["stall"]
    energy = energies["core_energy"] + energies["sram_energy"] + energies["dram_energy"]
    flat = np.argmin(np.where(cycles == cycles.min(), energy, np.inf))
    order, chosen = divmod(int(flat), cycles.shape[1])
    return BitFusionLayer(
        **{name: int(values[order, chosen]) for name, values in counts.items()},
        core_energy=float(energies["core_energy"][order, chosen]),
        sram_energy=float(energies["sram_energy"][order, chosen]),
        dram_energy=float(energies["dram_energy"][order, chosen]),
        tile=(int(tile["m"][chosen]), int(tile["k"][chosen]), int(tile["n"][chosen])),
        order="".join(ORDERS[order]),
    )
