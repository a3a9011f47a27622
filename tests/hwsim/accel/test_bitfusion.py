"""Against what Bit Fusion's simulator prints, and a walk through its loops on small GEMMs; docs/bitfusion.md; the errors."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.accel.bitfusion import DRAM_ENERGY, READ_ENERGY, UNIT_ENERGY, WRITE_ENERGY, BitFusionLayer, layer
from hwsim.accel.bitfusion_tiles import USES, accesses, loads, tiles_that_fit
from hwsim.errors import HwsimError

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
PAGE = (ROOT / "docs" / "bitfusion.md").read_text()


def printed(name: str) -> list[dict[str, str]]:
    """The rows of a table of tests/data."""
    lines = (DATA / name).read_text().splitlines()
    assert lines[0].startswith("# source: ")
    return list(csv.DictReader(lines[1:]))


PORT = printed("bitfusion_deit_tiny.csv")
REPOSITORY = printed("bitfusion_repository.csv")


def test_all_rows_are_there() -> None:
    assert len({(row["layer"], row["act_bits"], row["wgt_bits"]) for row in PORT}) == 7 * 8
    assert len(REPOSITORY) == 5 * 14


@pytest.mark.parametrize("row", PORT, ids=lambda row: "{layer}-{act_bits}x{wgt_bits}".format(**row))
def test_port(row: dict[str, str]) -> None:
    """Every count exactly, energies to the last of their printed digits, 0.01 nJ."""
    result = layer(*(int(row[name]) for name in ("M", "K", "N", "act_bits", "wgt_bits")))
    counts = {"cycles": result.cycles, "mem_stall_cycles": result.stall, "compute_cycles": result.compute}
    for name in ("ibuf_reads", "wbuf_reads", "obuf_reads", "obuf_writes", "dram_reads", "dram_writes"):
        counts[f"{name}_bits"] = getattr(result, name)
    assert counts == {name: int(row[name]) for name in counts}
    for part in ("core", "sram", "dram"):
        assert getattr(result, f"{part}_energy") / 1e3 == pytest.approx(float(row[f"E_{part}_nJ"]), abs=0.00501, rel=0)


@pytest.mark.parametrize(
    "row", REPOSITORY, ids=lambda row: "{network}-{layer}-{cols}-{dram_bits_per_cycle}".format(**row)
)
def test_repository(row: dict[str, str]) -> None:
    """The tool's own table, on five machines: every count exactly."""
    number = {name: int(value) for name, value in row.items() if name not in ("network", "layer")}
    result = layer(
        *(number[name] for name in ("M", "K", "N", "bits", "bits")),
        rows=number["rows"],
        cols=number["cols"],
        dram_bits_per_cycle=number["dram_bits_per_cycle"],
        ibuf_kib=number["ibuf_bytes"] / 1024,
        wbuf_kib=number["wbuf_bytes"] / 1024,
        obuf_kib=number["obuf_bytes"] / 1024,
    )
    names = list(number)[list(number).index("cycles") :]
    assert len(names) == 10
    assert {name: getattr(result, name) for name in names} == {name: number[name] for name in names}


DEIT_S = {  # times, M, K, N of one image: 197 tokens, 384 channels, 6 heads of 64, 12 blocks
    "patch embedding": (1, 196, 768, 384),
    "q, k, v": (12, 197, 384, 1152),
    "q k": (72, 197, 64, 197),
    "attention v": (72, 197, 197, 64),
    "projection": (12, 197, 384, 384),
    "fc1": (12, 197, 384, 1536),
    "fc2": (12, 197, 1536, 384),
    "head": (1, 1, 384, 1000),
}
PORT_DEIT_S = {  # million cycles and mJ that the port printed, rounded
    (8, 8): (9.95, 30.2),
    (8, 4): (6.77, 23.3),
    (4, 4): (5.99, 19.4),
    (3, 3): (5.58, 17.8),
    (4, 2): (5.25, 16.8),
    (2, 2): (4.88, 15.1),
}


def deit_small(field: str, *bits: int, **machine: Any) -> float:
    """The sum of a field over the GEMMs of DeiT-S."""
    return sum(times * getattr(layer(*gemm, *bits, **machine), field) for times, *gemm in DEIT_S.values())


@pytest.mark.parametrize("bits", PORT_DEIT_S)
def test_deit_small(bits: tuple[int, int]) -> None:
    cycles, millijoules = PORT_DEIT_S[bits]
    assert round(deit_small("cycles", *bits) / 1e6, 2) == cycles
    assert round(sum(deit_small(f"{part}_energy", *bits) for part in ("core", "sram", "dram")) / 1e9, 1) == millijoules


def tables() -> Iterator[str]:
    """The tables of the page, a line at a time."""
    for bits in PORT_DEIT_S:
        cycles, compute, stall = (deit_small(name, *bits) / 1e6 for name in ("cycles", "compute", "stall"))
        moved = [deit_small(name, *bits) / 1e6 for name in ("ibuf_writes", "wbuf_writes", "dram_writes")]
        share = 2 * moved[2] / (moved[0] + moved[1] + 2 * moved[2])
        yield (
            f"| {bits[0]} x {bits[1]} | {cycles:.2f} | {deit_small('cycles', 8, 8) / 1e6 / cycles:.2f} | {compute:.2f} | "
            f"{stall:.2f} | {moved[0]:.0f} | {moved[1]:.0f} | {2 * moved[2]:.0f} | {share:.0%} |"
        )
    stalls = deit_small("stall", 2, 2)
    for name, (times, *gemm) in DEIT_S.items():
        wide, narrow = layer(*gemm, 8, 8), layer(*gemm, 2, 2)
        sums = 2 * narrow.dram_writes / (narrow.dram_reads + narrow.dram_writes)
        yield (
            f"| {name} | {times} | {times * wide.cycles / 1e6:.2f} | {times * narrow.cycles / 1e6:.2f} | "
            f"{wide.cycles / narrow.cycles:.2f} | {wide.compute / narrow.compute:.1f} | "
            f"{times * narrow.stall / stalls:.0%} | {sums:.0%} |"
        )
    changes: dict[str, dict[str, int]] = {
        "as it is": {},
        "sums of 16 bits": {"acc_bits": 16},
        "sums of 8 bits": {"acc_bits": 8},
        "twice the bandwidth": {"dram_bits_per_cycle": 384},
        "ten times the bandwidth": {"dram_bits_per_cycle": 1920},
        "16 times the buffers": {"ibuf_kib": 512, "wbuf_kib": 1024, "obuf_kib": 256},
    }
    for name, machine in changes.items():
        wide, narrow = deit_small("cycles", 8, 8, **machine), deit_small("cycles", 2, 2, **machine)
        yield f"| {name} | {wide / 1e6:.2f} | {narrow / 1e6:.2f} | {wide / narrow:.1f} |"


def test_page() -> None:
    lines = PAGE.splitlines()
    assert [line for line in tables() if line not in lines] == []
    words = " ".join(PAGE.split())
    wide, narrow = layer(197, 64, 197, 8, 8), layer(197, 64, 197, 2, 2)
    assert f"# ({narrow.cycles}, {narrow.compute}, {narrow.stall})" in words
    assert f"wait for DRAM {wide.stall / wide.cycles:.0%}".replace("%", " %") in words
    assert f"Compute alone gains {deit_small('compute', 8, 8) / deit_small('compute', 2, 2):.1f}, not 16" in words
    moved = (deit_small("dram_reads", 2, 2) + deit_small("dram_writes", 2, 2)) / 1e6
    assert f"{moved:.0f} Mbit at 192 bits per cycle are {moved / 192:.2f} million cycles, the whole time" in words
    shrinks = [deit_small(name, 8, 8) / deit_small(name, 2, 2) for name in ("ibuf_writes", "wbuf_writes")]
    assert f"shrank by {shrinks[0]:.1f} and weights by {shrinks[1]:.1f}" in words


def crossing(order: Any, trips: dict[str, int], used: str, size: int, room: float) -> tuple[int, int]:
    """Bits that enter a buffer while the loops are walked, and those of the chunk that it takes in each time."""
    inner = 0
    for name in reversed(order):
        grown = size * trips[name] if name in used else size
        if grown > room:
            break
        size, inner = grown, inner + 1
    walk = itertools.product(*(range(trips[name]) for name in order))
    chunks = itertools.groupby(where[: len(order) - inner] for where in walk)
    return size * sum(1 for _ in chunks), size


def walked(gemm: dict[str, int], bits: dict[str, int], array: tuple[int, int, int], room: float, width: int) -> Any:
    """Fewest cycles and their least energy over all tiles and orders, each of these a walk."""
    lanes, cols, units = array

    def powers(name: str, step: int) -> list[int]:
        return [step << i for i in range(9) if step << i < gemm[name]] + [gemm[name]]

    def up(length: int, step: int) -> int:
        return len(range(0, length, step)) * step

    found = []
    for m, k, n in itertools.product(powers("m", 1), powers("k", 1), powers("n", cols)):
        size = {"mk": m * k * bits["mk"], "mn": m * up(n, cols) * bits["mn"], "kn": up(k, lanes) * n * bits["kn"]}
        if max(size.values()) > room:
            continue
        trips = {name: len(range(0, gemm[name], tile)) for name, tile in (("m", m), ("k", k), ("n", n))}
        times = trips["m"] * trips["k"] * trips["n"]
        compute = times * m * (up(k, lanes) // lanes) * (up(n, cols) // cols)
        a, acc, w, kp, np_ = bits["mk"], bits["mn"], bits["kn"], up(k, lanes), up(n, cols)
        each = m * k * n
        ways = [  # bits at padded sizes, then the values of activations, sums and weights that truly move
            (m * kp * a + m * kp * np_ * (acc + w), 0, (m * k, each, each)),
            (m * np_ * acc + m * kp * np_ * (a + w), 1, (each, m * n, each)),
            (kp * np_ * w + m * kp * np_ * (a + acc), 2, (each, each, k * n)),
        ]
        reads = dict(zip(("mk", "mn", "kn"), min(ways)[2], strict=True))
        for order in itertools.permutations("mkn"):
            enters = {used: crossing(order, trips, used, size[used], room) for used in size}
            first, last = sum(chunk for _, chunk in enters.values()), enters["mn"][1]
            dram = sum(moved for moved, _ in enters.values()) + enters["mn"][0]
            stall = max(0, -(-(dram - first - last) // width) - compute) + -(-first // width) + -(-last // width)
            energy = UNIT_ENERGY * units * compute + DRAM_ENERGY * dram
            for used, buffer in (("mk", "ibuf"), ("mn", "obuf"), ("kn", "wbuf")):
                between = times * reads[used] * bits[used]
                energy += READ_ENERGY[buffer] * (between + (enters[used][0] if used == "mn" else 0))
                energy += WRITE_ENERGY[buffer] * (enters[used][0] + (between if used == "mn" else 0))
            found.append((compute + stall, energy))
    return min(found, default=None)


@given(
    gemm=st.tuples(*[st.integers(1, 7)] * 3),
    widths=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 32)),
    array=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    room=st.integers(64, 2000),
    bandwidth=st.integers(1, 40),
)
@settings(deadline=None)
def test_walk(gemm: Any, widths: Any, array: Any, room: int, bandwidth: int) -> None:
    a, w, acc = widths
    lanes = array[0] * (8 // max(a, 2)) * (8 // max(w, 2))
    sizes = dict(zip("mkn", gemm, strict=True))
    best = walked(sizes, {"mk": a, "mn": acc, "kn": w}, (lanes, array[1], array[0] * array[1]), room, bandwidth)
    kib = room / 4096
    machine = {"rows": array[0], "cols": array[1], "acc_bits": acc, "dram_bits_per_cycle": bandwidth}

    def ours() -> BitFusionLayer:
        return layer(*gemm, a, w, **machine, ibuf_kib=kib, wbuf_kib=kib, obuf_kib=kib)

    if best is None:
        with pytest.raises(HwsimError, match="two of the smallest tiles"):
            ours()
        return
    result = ours()
    assert result.cycles == best[0]
    assert result.core_energy + result.sram_energy + result.dram_energy == pytest.approx(best[1], rel=1e-9)
    assert result.dram_reads == result.ibuf_writes + result.wbuf_writes + result.dram_writes
    assert sorted(result.order) == ["k", "m", "n"]


@given(
    gemm=st.tuples(*[st.integers(1, 2**12)] * 3),
    widths=st.tuples(*[st.integers(1, 32)] * 3),
    lanes=st.integers(1, 4096),
    cols=st.integers(1, 128),
)
def test_no_tile_and_order_moves_more_than_what_is_refused(gemm: Any, widths: Any, lanes: int, cols: int) -> None:
    m, k, n = gemm
    bits = dict(zip(USES, widths, strict=True))
    tile, padded, size = tiles_that_fit(m, k, n, lanes, cols, bits, dict.fromkeys(USES, 2.0**60))
    trips = {name: -(-whole // tile[name]) for name, whole in zip("mkn", gemm, strict=True)}
    tiles = trips["m"] * trips["k"] * trips["n"]
    loaded, _ = loads(size, dict.fromkeys(USES, 0.0), trips)  # nothing is kept: more cannot be loaded
    moved = accesses(tile, padded, bits)
    bound = 16 * m * k * lanes * (n + cols) * (sum(widths) + bits["obuf"])
    assert (loaded["ibuf"] + 2 * loaded["obuf"] + loaded["wbuf"]).max() <= bound
    assert max((tiles * moved[buffer] + loaded[buffer]).max() for buffer in USES) <= bound


def test_numpy_sizes_do() -> None:
    assert layer(*np.array([197, 64, 197]), 4, 4) == layer(197, 64, 197, 4, 4)


def test_errors() -> None:
    def told(*args: int, **machine: Any) -> str:
        with pytest.raises(HwsimError) as caught:
            layer(*args, **machine)
        return str(caught.value)

    assert told(0, 1, 1, 8, 8) == "bitfusion: m must be above zero, got 0; it is a size or a width"
    assert (
        told(1, 1, 1, 8, 8, dram_bits_per_cycle=0.0)
        == "bitfusion: dram_bits_per_cycle must be above zero, got 0.0; it is a size or a width"
    )
    assert (
        told(1, 1, 1, 16, 4)
        == "bitfusion: no width may exceed max_bits = 8, got 16 x 4 bits, min_bits 2; raise max_bits"
    )
    assert (
        told(1, 1, 1000, 8, 8, obuf_kib=0.125)
        == "bitfusion: each buffer must hold two of the smallest tiles, got ibuf 32 for 0.00195312 KiB, "
        "obuf 0.125 for 0.25 KiB, wbuf 64 for 1 KiB; enlarge the buffer"
    )
    assert (
        told(2**20, 2**20, 2**20, 8, 8)
        == "bitfusion: bits moved must stay below 2**62, got up to 2.4e+22; split the GEMM"
    )
