from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import catalog
from hwsim.cost.conventions.qvit_table import QvitTable
from hwsim.cost.groups import GROUPS
from hwsim.cost.rounding import Rounding
from hwsim.cost.table import CATALOGUE, find, speedup, tally
from hwsim.cost.work import PARAMETERS, Work, with_bits, work
from hwsim.errors import HwsimError, UnknownName
from hwsim.graph import Graph
from hwsim.op import Gemm

SIZES = st.integers(1, 4096)


@st.composite
def models(draw: st.DrawFn) -> tuple[Work, ...]:
    """Rows of a random quantized model."""
    rows = []
    for index in range(draw(st.integers(1, 8))):
        group = draw(st.sampled_from(GROUPS))
        if group == "elementwise":
            role = draw(st.sampled_from(("layernorm", "qk_norm", "softmax", "gelu", "residual", "bias", "mul")))
            rows.append(Work(f"n{index}", role, group, role, shape=(1, draw(SIZES), draw(SIZES))))
            continue
        static = group not in ("qk", "av")
        gemm = Gemm(draw(st.integers(1, 64)), draw(SIZES), draw(SIZES), draw(SIZES), 4, 4, static)
        weights = gemm.batch * gemm.k * gemm.n if static else 0
        rows.append(Work(f"n{index}", "linear", group, "product", gemm, weights=weights))
    static = Gemm(1, 7, 5, 3, 4, 4, True)
    rows.append(Work("last", "linear", "fc2", "product", static, weights=15))
    return (*rows, Work(PARAMETERS, "constant", "elementwise", "parameters", parameters=draw(SIZES)))


@pytest.mark.parametrize("name", catalog.names(CATALOGUE))
@given(rows=models(), bits=st.sampled_from((2, 3, 4, 8)))
def test_total_is_the_sum_of_groups_and_of_nodes(name: str, rows: tuple[Work, ...], bits: int) -> None:
    bits = bits if bits in (find(name).bits or (bits,)) else 1
    table = tally(with_bits(rows, bits, bits, bits), name)
    assert table.total == sum(amount for _, amount in table)
    assert table.total == pytest.approx(sum(table.by_group().values()), rel=1e-12)  # logarithms are no integers
    assert [*table.by_group()] == [g for g in GROUPS if g in {row.group for row in rows}]


@given(rows=models(), bits=st.tuples(*[st.sampled_from((1, 2, 3, 4, 5, 8))] * 3))
def test_with_bits_is_idempotent(rows: tuple[Work, ...], bits: tuple[int, int, int]) -> None:
    once = with_bits(rows, *bits)
    assert with_bits(once, *bits) == once
    assert with_bits(once, 4, 4, 4) == with_bits(rows, 4, 4, 4)


def test_a_graph_or_its_rows(block: Graph) -> None:
    assert tally(block, "macs") == tally(work(block), "macs")
    assert tally(block, "macs").by_group() == {
        "qkv": 180,
        "qk": 150,
        "av": 150,
        "proj": 180,
        "head": 210,
        "elementwise": 0,
    }


def test_records(block: Graph) -> None:
    table = tally(block, "macs")
    records = table.records("block", (("wbits", "4"),))
    assert {r.node: r.value for r in records} == {**table.by_group(), "": 870}
    assert {(r.workload, r.metric, r.unit, r.source, r.tags) for r in records} == {
        ("block", "macs", "MAC", "computed", (("wbits", "4"),))
    }
    assert {r.source for r in tally(block, "qvit_table").records("block")} == {"inferred"}


def test_unknown_convention(block: Graph) -> None:
    with pytest.raises(UnknownName) as error:
        tally(block, "bitops")
    assert str(error.value) == (
        "convention: unknown name, got 'bitops'; known, nearest first: bitops_wa, flops, bitfusion, swin_flops, "
        "bops_baskin, linear_bits, size_bidet, bivit_table, qvit_table, size_simple, size_tervit, bireal_ladder and 3 more"
    )


def test_an_entry_that_rounds_to_zero(block: Graph) -> None:
    with pytest.raises(HwsimError) as error:
        speedup(block, "qvit_table")
    assert str(error.value) == "speedup: the quantized entry must not be 0, got 0.0 of 0.0; ask for more decimals"
    assert speedup(block, QvitTable(rounding=Rounding("round", 9, "G"))) > 0


def test_macs_equal_those_of_pytorch(plain: Callable[[str], Any], labels: dict[str, str]) -> None:
    """FlopCounterMode on timm's own float model, on the meta device; it counts two operations per MAC."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from qmodels import torchvision_shim  # noqa: F401 - before timm

    # isort: split
    import timm
    import timm.layers

    fused = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(False)  # FlopCounterMode does not see the fused kernel
    try:
        for label, name in labels.items():
            with torch.device("meta"), FlopCounterMode(display=False) as counter:
                timm.create_model(name).eval()(torch.zeros(1, 3, 224, 224))
            assert counter.get_total_flops() == 2 * tally(plain(label), "macs").total, name
    finally:
        timm.layers.set_fused_attn(bool(fused))
