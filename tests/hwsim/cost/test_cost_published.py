"""Figures that are printed for networks which need no tracing: tables of layers, and products of a few lines."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import pytest

from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.bivit_table import BivitTable
from hwsim.cost.conventions.size_hawq import SizeHawq
from hwsim.cost.elementwise import NONE
from hwsim.cost.layers import rows_of
from hwsim.cost.rounding import EXACT, Rounding
from hwsim.cost.table import entries, speedup, tally
from hwsim.cost.work import PARAMETERS, Work, with_bits
from hwsim.op import Gemm
from workloads import topologies

Rows = tuple[Work, ...]
Traced = Callable[[str], Rows]


def layer(group: str, m: int, k: int, n: int) -> Work:
    """A product of m outputs per channel, n channels, k weights each; at 4 bits, to be priced at others."""
    return Work(group, "linear", group, "product", Gemm(1, m, k, n, 4, 4, True), weights=k * n)


def network(layers: Iterable[Work]) -> Rows:
    return tuple(dataclasses.replace(row, node=f"{row.node}.{index}") for index, row in enumerate(layers))


def perceptron(*sizes: int) -> Rows:
    return network(layer("other", 1, k, n) for k, n in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    ("depth", "bits", "total", "printed"),
    [
        (18, 32, 1857.6, 1858),
        (18, 8, 116.1, 116),
        (18, 4, 34.714, 34),
        (50, 32, 3950.6, 3951),
        (50, 8, 246.9, 247),
        (50, 4, 67.491, 67),
    ],
)
def test_bit_operations_of_hawq(depth: int, bits: int, total: float, printed: int) -> None:
    ours = tally(rows_of(topologies.find(f"resnet{depth}_v1"), bits, bits), "bitops_wa").total / 1e9
    assert ours == pytest.approx(total, abs=0.05)
    assert printed in (round(ours), int(ours))


@pytest.mark.parametrize(
    ("depth", "bits", "ours", "printed"),
    [
        (18, 32, 44.6, 44.6),
        (18, 8, 11.1, 11.1),
        (18, 4, 5.8, 5.8),
        (50, 32, 97.3, 97.8),  # 0.5 % below, for no reason that we know
        (50, 8, 24.3, 24.5),
        (50, 4, 13.1, 13.1),
    ],
)
def test_sizes_of_hawq(depth: int, bits: int, ours: float, printed: float) -> None:
    norms = Work(PARAMETERS, "constant", "elementwise", "parameters", parameters=10**6)
    table = tally((*rows_of(topologies.find(f"resnet{depth}_v1"), bits, bits), norms), "size_hawq")
    assert table.entry == ours * 2**20
    assert SizeHawq().rounding.printed(table.total) == ours == pytest.approx(printed, rel=0.009)


def test_bit_operations_of_uniq(plain: Traced) -> None:
    mlp = topologies.find("mlp_16_64_32_32_5")
    assert tally(rows_of(mlp, 32, 32), "bops_baskin").total == pytest.approx(4_652_832, rel=1e-12)
    assert round(tally(plain("DeiT-S"), "bops_baskin").total / 1e9, 3) == 155.325


@pytest.mark.parametrize(("w", "a", "factor"), [(8, 8, 1), (4, 8, 2), (8, 4, 2), (4, 4, 4), (3, 3, 4), (2, 2, 16)])
def test_factors_of_bit_fusion(w: int, a: int, factor: int) -> None:
    rows = with_bits(perceptron(64, 64), w, a)
    assert tally(rows, "bitfusion").total * factor == 64 * 64


@pytest.mark.parametrize(("bits", "runs_as"), [(1, 2), (3, 4), (5, 8), (6, 8), (7, 8)])
def test_widths_between_run_as_the_next(bits: int, runs_as: int) -> None:
    rows = perceptron(64, 64)
    assert tally(with_bits(rows, bits, bits), "bitfusion") != tally(with_bits(rows, runs_as, runs_as), "macs")
    assert (
        tally(with_bits(rows, bits, bits), "bitfusion").total
        == tally(with_bits(rows, runs_as, runs_as), "bitfusion").total
    )


def test_linear_bits() -> None:
    rows = perceptron(64, 64, 10)
    assert [speedup(with_bits(rows, b, b), "linear_bits") for b in (4, 2)] == [8, 16]
    assert speedup(with_bits(rows, 2, 8), "linear_bits") == 4


def test_quadratic_saving_of_ptq_vit() -> None:
    six, eight = (tally(with_bits(perceptron(64, 64), b, b), "bitops_wa").total for b in (6, 8))
    assert 1 - six / eight == 1 - (6 / 8) ** 2  # printed: 44 %


def test_binary_convolution_of_xnor_net() -> None:
    rows = (layer("conv", 14 * 14, 256 * 9, 256),)
    assert round(speedup(with_bits(rows, 1, 1), "xnor_conv"), 2) == 62.27
    assert tally(with_bits(rows, 1, 32), "xnor_conv").total == tally(rows, "macs").total


@pytest.mark.parametrize(("bits", "printed"), [(8, 23.01), (4, 13.02), (3, 7.61), (2, 5.32)])
def test_ladder_of_q_detr(bits: int, printed: float) -> None:
    """DETR-R50's 85.51 G, of which 2.96 % are taken as full precision: fitted, all printed entries are within 4 %."""
    macs = 85_510
    rows = (layer("patch_embed", 1, round(0.0296 * macs), 10**6), layer("conv", 1, round(0.9704 * macs), 10**6))
    ladder = BirealLadder(elementwise=NONE)
    assert tally(with_bits(rows, 32, 32), ladder).total == macs * 10**6
    assert tally(with_bits(rows, bits, bits), ladder).total / 1e9 == pytest.approx(printed, rel=0.04)


def test_speedups_of_bi_vit(plain: Traced) -> None:
    """Printed 61.5x and 56.1x: ratios of entries of two decimals, by a rule that is inferred."""
    found = {label: entries(with_bits(plain(label), 1, 1), BivitTable()) for label in ("DeiT-T", "Swin-T")}
    assert found == {"DeiT-T": (1.23e9, 0.02e9), "Swin-T": (4.49e9, 0.08e9)}
    ratios = {label: floats / binary for label, (floats, binary) in found.items()}
    assert {label: Rounding("round", 1).printed(ratio) for label, ratio in ratios.items()} == {
        "DeiT-T": 61.5,
        "Swin-T": 56.1,
    }
    exact = BivitTable(rounding=EXACT)
    assert [round(speedup(with_bits(plain(label), 1, 1), exact), 1) for label in ("DeiT-T", "Swin-T")] == [50.8, 53.2]
    floats_at_the_head = dataclasses.replace(BivitTable(), ends_bits=32)
    assert entries(with_bits(plain("Swin-T"), 1, 1), floats_at_the_head)[1] == 0.09e9
    whole = dataclasses.replace(BivitTable(), omit=())
    assert entries(with_bits(plain("DeiT-T"), 1, 1), whole)[0] == 1.26e9


def test_floating_point_operations(plain: Traced) -> None:
    assert tally(plain("DeiT-S"), "flops").total == 9_197_764_608
