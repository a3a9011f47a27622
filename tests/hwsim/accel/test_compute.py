"""Cycles of the PE arrays for a stage, against published totals, a restatement in plain Python, and loops that count."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.accel import accelerator as accelerators
from hwsim.accel.compute import computes, for_images
from hwsim.accel.dataflow import DATAFLOWS
from hwsim.accel.parts import Array, Buffer, Buffers
from hwsim.accel.program import Program
from hwsim.accel.scheme import Operand, Packing
from hwsim.accel.tiling import fetched, stored_bits, usable_bits
from hwsim.op import Gemm

PUBLISHED = {  # cycles F P of all GEMMs of DeiT-S, one image, by closed form (SCALE-Sim's, true count)
    (16, "output_stationary"): 20_531_970,
    (16, "weight_stationary"): 22_324_824,
    (16, "input_stationary"): 20_999_616,
    (32, "output_stationary"): 5_996_920,
    (32, "weight_stationary"): 6_740_832,
    (32, "input_stationary"): 6_252_312,
}
ONE = Packing(1, 1, 1, 1.0)
SIZES = st.integers(1, 40)


def array(rows: int = 4, cols: int = 4, **changes: object) -> Array:
    return Array.model_validate({"rows": rows, "cols": cols, "dataflow": "output_stationary", **changes})


def gemm(m: int, k: int, n: int, batch: int = 1, static: bool = True, bits: tuple[int, int] = (8, 8)) -> Gemm:
    return Gemm(batch, m, k, n, *bits, static)


@pytest.mark.parametrize(("side", "dataflow"), PUBLISHED)
def test_totals_of_deit_small(side: int, dataflow: str, program_of: Callable[[str], Program]) -> None:
    stages = program_of("deit_small_patch16_224").stages(16)
    plain = array(side, side, dataflow=dataflow)
    total = sum(float(computes(stage.gemm, ONE, plain)[0].cycles) * stage.times for stage in stages)
    assert total == pytest.approx(PUBLISHED[side, dataflow], abs=1e-3)


@given(
    m=SIZES,
    k=SIZES,
    n=SIZES,
    batch=st.integers(1, 9),
    count=st.integers(1, 9),
    split=st.sampled_from(["none", "m", "n"]),
)
def test_arrays_share_products(m: int, k: int, n: int, batch: int, count: int, split: str) -> None:
    """Restated: pieces are dealt out one per array and round; a round is as long as one piece."""
    found = computes(gemm(m, k, n, batch), ONE, array(count=count, split=split, interconnect="broadcast"))[0]
    free = max(1, count // batch) if split != "none" else 1
    height, width = (math.ceil(m / free), n) if split == "m" else (m, math.ceil(n / free) if split == "n" else n)
    pieces = len(range(0, m, height)) * len(range(0, n, width))
    rounds = len(range(0, batch, max(1, count // pieces)))
    assert float(found.cycles) == rounds * -(-height // 4) * -(-width // 4) * k
    assert float(found.fill) == 0
    assert float(found.useful) == pytest.approx(batch * m * k * n / (16 * count))
    assert float(found.mapping) >= -1e-9


@given(m=SIZES, k=SIZES, n=SIZES, pack=st.tuples(*[st.integers(1, 5)] * 3), passes=st.floats(0.1, 9))
def test_packed_operands(m: int, k: int, n: int, pack: tuple[int, int, int], passes: float) -> None:
    found = computes(gemm(m, k, n), Packing(*pack, passes), array(interconnect="broadcast"))[0]
    high, deep, wide = (-(-size // by) for size, by in zip((m, k, n), pack, strict=True))
    assert float(found.cycles) == pytest.approx(-(-high // 4) * -(-wide // 4) * max(1, math.ceil(deep * passes)))
    assert float(found.useful) == pytest.approx(m * k * n * passes / (math.prod(pack) * 16))


@given(m=SIZES, k=SIZES, n=SIZES, dataflow=st.sampled_from(sorted(DATAFLOWS)))
def test_words_are_those_of_the_closed_form(m: int, k: int, n: int, dataflow: str) -> None:
    found = computes(gemm(m, k, n, batch=3), ONE, array(3, 5, dataflow=dataflow))[0]
    expected = {
        "output_stationary": (m * k * -(-n // 5), k * n * -(-m // 3), m * n),
        "weight_stationary": (m * k * -(-n // 5), k * n, m * n * -(-k // 3)),
        "input_stationary": (m * k, k * n * -(-m // 5), m * n * -(-k // 3)),
    }[dataflow]
    assert (found.a_words, found.b_words, found.written_words) == tuple(3 * words for words in expected)


def test_best_offers_every_dataflow() -> None:
    assert len(computes(gemm(5, 6, 7), ONE, array(dataflow="best"))) == 3


def test_images_share_constant_weights() -> None:
    assert for_images(gemm(197, 192, 576), 4) == gemm(4 * 197, 192, 576)
    assert for_images(gemm(197, 64, 197, batch=3, static=False), 4) == gemm(197, 64, 197, batch=12, static=False)


def buffers(kib: float, double: bool = False, packing: str = "dense", port: int = 64) -> Buffers:
    one = {"kib": kib, "bytes_per_cycle": 1.0, "port_bits": port, "double_buffered": double}
    return Buffers.model_validate({"activations": one, "weights": one, "outputs": one, "packing": packing})


@given(
    m=st.integers(1, 30), k=st.integers(1, 30), n=st.integers(1, 30), bits=st.sampled_from([(8, 8), (4, 8), (8, 2)]),
    room=st.integers(32, 4000),
)  # fmt: skip
def test_tiles_against_loops_that_count(m: int, k: int, n: int, bits: tuple[int, int], room: int) -> None:
    """Never more than the best order and tile of operands that loops find; never less than reading each operand once."""
    found = fetched(gemm(m, k, n, bits=bits), buffers(room / 8192), np.asarray(0.0), np.asarray(0.0), m * k)
    ours = float(found.a) * m * k * bits[0] + float(found.b) * k * n * bits[1]
    once = m * k * bits[0] + k * n * bits[1]
    assert ours >= once
    best = min(_loops(m, k, n, bits, room), default=math.inf)
    assert ours <= best + 1e-6
    if best == once:
        assert ours == once


def _loops(m: int, k: int, n: int, bits: tuple[int, int], room: int) -> list[float]:
    """Bits fetched by the two orders that hold operands, for each tile that fits, counted tile by tile."""
    a, b = m * k * bits[0], k * n * bits[1]
    totals = []
    for tile in range(1, n + 1):
        if tile * k * bits[1] <= room:
            passes = sum(1 for _ in range(0, n, tile))
            totals.append(b + (a if a <= room else passes * a))
    for tile in range(1, m + 1):
        if tile * k * bits[0] <= room:
            passes = sum(1 for _ in range(0, m, tile))
            totals.append(a + (b if b <= room else passes * b))
    return totals


def test_sums_that_stay_bound_what_is_fetched() -> None:
    """K too long for any panel: only sums can stay; a tile of 4 x 4 of them moves A and W once per tile."""
    found = fetched(gemm(8, 10_000, 8), buffers(16 * 32 / 8192), np.asarray(0.0), np.asarray(0.0), 80_000)
    assert (float(found.a), float(found.b)) == (2, 2)


def test_operands_on_chip_are_not_fetched_again() -> None:
    found = fetched(gemm(64, 64, 64), buffers(0.1), np.asarray(1.0), np.asarray(0.0), 64 * 64)
    assert (float(found.a), float(found.b)) == (1, 1), "A costs nothing, so weights pass once"


@pytest.mark.parametrize(
    ("bits", "packing", "stored"),
    [(3, "dense", 3), (3, "whole_words", 64 / 21), (3, "power_of_two", 4), (8, "whole_words", 8), (5, "power_of_two", 8),
     (32, "whole_words", 32), (1, "power_of_two", 1)],
)  # fmt: skip
def test_three_bits_in_lines_of_64(bits: int, packing: str, stored: float) -> None:
    assert float(stored_bits(bits, buffers(1).activations, packing)) == pytest.approx(stored)


def test_words_longer_than_a_line() -> None:
    assert float(stored_bits(32, buffers(1, port=24).activations, "whole_words")) == 48


def test_half_of_a_double_buffer_holds_the_tile() -> None:
    one: Buffer = buffers(2, double=True).weights
    assert float(usable_bits(one)) == 8192
    assert float(usable_bits(buffers(2).weights)) == 16384


def test_serial_units_take_the_bits_that_are_streamed() -> None:
    stripes = accelerators.find("stripes").precision
    packing = stripes.packing(Operand(8, 3.25), Operand(8))
    found = computes(gemm(16, 64, 16), packing, array(interconnect="broadcast"))[0]
    lanes = packing.m * packing.k * packing.n
    assert float(found.useful) == pytest.approx(16 * 64 * 16 * 3.25 / lanes / 16)


def test_products_are_not_cut_into_more_pieces_than_they_have_columns() -> None:
    """200 columns on 1024 arrays: 200 pieces of one column: each reads A once, its weights for 7 folds."""
    found = computes(gemm(197, 384, 200), ONE, array(32, 32, count=1024, split="n"))[0]
    assert (found.a_words, found.b_words, found.written_words) == (200 * 197 * 384, 7 * 384 * 200, 197 * 200)


def test_windows_that_overlap_are_fetched_once_where_the_image_fits() -> None:
    """A convolution's M K counts every window; what must fit is the image."""
    found = fetched(gemm(100, 90, 8), buffers(1), np.asarray(0.0), np.asarray(0.0), 1000)
    assert (float(found.a), float(found.b)) == (1, 1)
