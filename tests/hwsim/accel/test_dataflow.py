"""Against what SCALE-Sim prints, the totals of DeiT-S, unbounded integers near the limit, and the exact errors."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.accel import gemm_cycles
from hwsim.accel.dataflow import COMPATS, DATAFLOWS, GemmCycles
from hwsim.errors import HwsimError, UnknownName

DATA = Path(__file__).parents[2] / "data"
SHORT = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}
SMALL = st.integers(1, 12)
SWITCHES = ("shadow_registers", "back_to_back", "accumulators", "true_edges")
FIELDS = tuple(GemmCycles.__dataclass_fields__)


def printed() -> list[dict[str, str]]:
    """The rows of all tables, those of DeiT-T with the array and the dataflow that their file's name says."""
    found = []
    for path in sorted(DATA.glob("scalesim_*.csv")):
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# source: ")
        *_, array, dataflow = path.stem.split("_")
        side = array.partition("x")[0]
        for row in csv.DictReader(lines[1:]):
            found.append({"rows": side, "cols": side, "dataflow": dataflow} | row)
    return found


ROWS = printed()


def test_all_tables_are_there() -> None:
    assert len(ROWS) == 6 * 8 + 90
    assert {row["dataflow"] for row in ROWS} == set(SHORT)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "{dataflow}-{rows}x{cols}-{M}x{K}x{N}".format(**row))
def test_scalesim(row: dict[str, str]) -> None:
    rows, cols, m, k, n = (int(row[name]) for name in ("rows", "cols", "M", "K", "N"))
    result = gemm_cycles(rows, cols, SHORT[row["dataflow"]], m, k, n, compat="scalesim")
    assert result.cycles == int(row["total_cycles"])
    assert result.activation_reads == int(row["sram_ifmap_reads"])
    assert result.weight_reads == int(row["sram_filter_reads"])
    assert result.output_writes == int(row["sram_ofmap_writes"])
    assert 100 * result.utilisation == pytest.approx(float(row["overall_util_pct"]), abs=0.6e-4)
    mapped = result.useful_pe_cycles / (result.useful_pe_cycles + result.mapping_pe_cycles)
    assert 100 * mapped == pytest.approx(float(row["mapping_eff_pct"]), abs=0.6e-4)
    assert result.useful_pe_cycles + result.mapping_pe_cycles + result.fill_pe_cycles == result.pe_cycles


def test_only_two_things_are_the_tools_own() -> None:
    for dataflow in DATAFLOWS:
        ours, tools = (gemm_cycles(3, 5, dataflow, 10, 11, 12, compat=compat) for compat in (None, *COMPATS))
        assert (ours.cycles, ours.fold_cycles) == (tools.cycles + 1, tools.fold_cycles)
        assert ours.cycles == ours.folds * ours.fold_cycles
        assert (ours.activation_reads, ours.weight_reads) == (tools.activation_reads, tools.weight_reads)
        defect = ours.folds * (3 + 5) if dataflow == "output_stationary" else 0
        assert tools.output_writes == ours.output_writes + defect


def test_the_rtl_of_issue_125() -> None:
    """A 4 x 4 x 4 GEMM on 4 x 4 PEs takes 10 cycles in RTL."""
    assert gemm_cycles(4, 4, "output_stationary", 4, 4, 4).cycles == 10


DEIT_S = [  # times, M, K, N of one image: 197 tokens, 384 channels, 6 heads of 64, 12 blocks
    (1, 196, 768, 384),
    (12, 197, 384, 1152),
    (72, 197, 64, 197),
    (72, 197, 197, 64),
    (12, 197, 384, 384),
    (12, 197, 384, 1536),
    (12, 197, 1536, 384),
    (1, 1, 384, 1000),
]


@pytest.mark.parametrize(
    ("side", "totals"), [(16, (20_531_970, 22_324_824, 20_999_616)), (32, (5_996_920, 6_740_832, 6_252_312))]
)
def test_deit_small(side: int, totals: tuple[int, ...]) -> None:
    """Computed before this model and without it; SCALE-Sim prints 194 less, one for each GEMM."""
    times, m, k, n = np.array(DEIT_S).T
    assert (times * m * k * n).sum() == 4_598_882_304  # counted by PyTorch's FlopCounterMode
    for dataflow, total in zip(DATAFLOWS, totals, strict=True):
        assert (times * gemm_cycles(side, side, dataflow, m, k, n).cycles).sum() == total
        assert (times * gemm_cycles(side, side, dataflow, m, k, n, compat="scalesim").cycles).sum() == total - 194


@given(
    sides=st.tuples(st.integers(1, 2**10), st.integers(1, 2**10)),
    gemm=st.tuples(st.integers(1, 2**21), st.integers(1, 2**21), st.integers(1, 2**18)),
    dataflow=st.sampled_from(tuple(DATAFLOWS)),
    flags=st.tuples(*[st.booleans()] * 4),
)
def test_no_count_overflows(sides: Any, gemm: Any, dataflow: str, flags: Any) -> None:
    """Unbounded integers give the same below the limit, and only what is near it is refused."""
    switches = dict(zip(SWITCHES, flags, strict=True))
    sizes = dict(zip(("m", "k", "n"), gemm, strict=True))
    rows, cols = sides
    high, wide, steps = (sizes[name] for name in DATAFLOWS[dataflow])
    if (high + rows) * (wide + cols) * (steps + 2 * rows + cols) > 2**62:
        with pytest.raises(HwsimError, match="below 2\\*\\*62"):
            gemm_cycles(*sides, dataflow, **sizes, **switches)
        return
    with np.errstate(all="raise"):  # a NumPy integer that overflows says so
        result = gemm_cycles(*sides, dataflow, **sizes, **switches)
    folds = -(-high // rows) * -(-wide // cols)
    parts = [int(getattr(result, f"{part}_pe_cycles")) for part in ("useful", "mapping", "fill")]
    assert parts[0] == high * wide * steps
    assert parts[1] == folds * rows * cols * steps - parts[0]
    assert parts[2] == int(result.cycles) * rows * cols - parts[0] - parts[1] >= 0
    assert 0 < result.utilisation <= 1
    assert all(int(getattr(result, name)) >= 0 for name in FIELDS)
    if not any(flags):
        lengths = (1 if dataflow == "output_stationary" else 2) * rows + cols + steps - 2
        assert int(result.cycles) == folds * lengths


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("switches", [{}, {"shadow_registers": True, "back_to_back": True, "true_edges": True}])
def test_arrays_give_what_integers_give(dataflow: str, switches: dict[str, bool]) -> None:
    rows, m = np.array([[4], [7], [16]]), np.array([1, 5, 16, 33], np.uint8)
    k, n = np.array([64, 3, 40, 1], np.int16), [[9]]
    many = gemm_cycles(rows, 8, dataflow, m, k, n, **switches)
    for field in FIELDS:
        values = getattr(many, field)
        assert (values.dtype, values.shape) == (np.dtype(np.int64), (3, 4))
        for i, j in np.ndindex(3, 4):
            one = gemm_cycles(int(rows[i, 0]), 8, dataflow, int(m[j]), int(k[j]), 9, **switches)
            assert values[i, j] == getattr(one, field)
            assert getattr(one, field).shape == ()
    assert gemm_cycles(4, 4, dataflow, np.zeros(0, int), 3, 3).cycles.shape == (0,)


def refused(**changes: Any) -> str:
    arguments: dict[str, Any] = {"rows": 4, "cols": 4, "dataflow": "weight_stationary", "m": 5, "k": 6, "n": 7}
    with pytest.raises(HwsimError) as caught:
        gemm_cycles(**(arguments | changes))
    return str(caught.value)


def test_errors() -> None:
    assert refused(m=0) == "gemm_cycles: m must be above zero, got 0; leave out empty ones"
    assert refused(rows=np.array([3, -2])) == "gemm_cycles: rows must be above zero, got -2; leave out empty ones"
    for value, kind in ((1.0, "float64"), (True, "bool"), (2**70, "object"), ("4", "<U1"), (None, "object")):
        assert refused(n=value) == f"gemm_cycles: n must be integers of 64 bits, got {kind}; pass int or int64"
    assert refused(m=np.arange(1, 3), k=np.arange(1, 4)) == (
        "gemm_cycles: shapes must broadcast, got rows (), cols (), m (2,), k (3,), n (), products (); "
        "reshape them to one grid"
    )
    for size in (2**62, 2**63):
        assert refused(m=size, k=1, n=1, rows=1, cols=1) == (
            f"gemm_cycles: PE-cycles must stay below 2**62, got about {4 * size:.1e}; split the GEMM"
        )
    for switch in SWITCHES:
        assert refused(compat="scalesim", **{switch: True}) == (
            "gemm_cycles: compat must have all switches off, got compat 'scalesim' with some on; drop either"
        )


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="dataflow: unknown name, got 'row_stationary'; known, nearest first: "):
        gemm_cycles(4, 4, "row_stationary", 5, 6, 7)
    with pytest.raises(UnknownName, match="compat: unknown name, got 'zigzag'; known, nearest first: scalesim"):
        gemm_cycles(4, 4, "weight_stationary", 5, 6, 7, compat="zigzag")


@given(
    m=SMALL, k=SMALL, folds=st.integers(1, 4), rows=st.integers(1, 9), cols=st.integers(1, 9), products=st.integers(1, 6),
    dataflow=st.sampled_from(["output_stationary", "weight_stationary"]), shadow=st.booleans(), back=st.booleans(),
)  # fmt: skip
def test_products_follow_each_other_as_the_folds_of_a_wider_one_do(
    m: int, k: int, folds: int, rows: int, cols: int, products: int, dataflow: str, shadow: bool, back: bool
) -> None:
    """Whole folds of columns beside each other in N are what as many products are: the array cannot tell them apart."""
    switches = {"shadow_registers": shadow, "back_to_back": back}
    n = folds * cols
    several = gemm_cycles(rows, cols, dataflow, m, k, n, products=products, **switches)
    wider = gemm_cycles(rows, cols, dataflow, m, k, products * n, **switches)
    for name in ("folds", "cycles", "useful_pe_cycles", "mapping_pe_cycles", "fill_pe_cycles", "output_writes"):
        assert getattr(several, name) == getattr(wider, name), name


@given(
    size=st.tuples(SMALL, SMALL, SMALL), array=st.tuples(SMALL, SMALL), products=st.integers(1, 6),
    dataflow=st.sampled_from(sorted(DATAFLOWS)), edges=st.booleans(), shadow=st.booleans(), back=st.booleans(),
)  # fmt: skip
def test_products_never_take_longer_than_one_by_one(
    size: tuple[int, int, int],
    array: tuple[int, int],
    products: int,
    dataflow: str,
    edges: bool,
    shadow: bool,
    back: bool,
) -> None:
    switches = {"shadow_registers": shadow, "back_to_back": back, "true_edges": edges}
    one = gemm_cycles(*array, dataflow, *size, **switches)
    several = gemm_cycles(*array, dataflow, *size, products=products, **switches)
    assert several.cycles <= products * one.cycles
    if not (shadow or back):
        assert several.cycles == products * one.cycles
    assert several.useful_pe_cycles == products * one.useful_pe_cycles
    assert several.weight_reads == products * one.weight_reads
