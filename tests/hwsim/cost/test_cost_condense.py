"""Every convention says the same of condensed rows, of traced models and of random ones."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import catalog
from hwsim.cost.condense import condensed
from hwsim.cost.conventions.swin_flops import SwinFlops
from hwsim.cost.groups import GROUPS
from hwsim.cost.table import CATALOGUE, tally
from hwsim.cost.work import PARAMETERS, Rows, Work, published_parameters, with_bits, work
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.op import Action, Gemm

WIDTHS = ((4, 4), (2, 2), (3, 3), (8, 8), (4, 8), (2, 32), (32, 32))
SIZES = st.integers(1, 7)


def same_costs(rows: Rows, short: Rows, name: str) -> None:
    """Equal sums per group, or the same refusal but for the node that it names."""
    try:
        whole = tally(rows, name)
    except HwsimError as error:
        with pytest.raises(HwsimError, match=re.escape(str(error).split(" at ")[0])):
            tally(short, name)
        return
    assert tally(short, name).by_group() == pytest.approx(whole.by_group(), rel=1e-12)


@pytest.mark.parametrize("name", catalog.names(CATALOGUE))
@pytest.mark.parametrize(
    "label", ["DeiT-T", *(pytest.param(n, marks=pytest.mark.slow) for n in ("DeiT-S-dist", "Swin-T"))]
)
def test_traced_models(label: str, name: str, traced: Callable[..., Any]) -> None:
    rows = traced(label).rows
    short = condensed(rows)
    for bits in WIDTHS:
        same_costs(with_bits(rows, *bits), with_bits(short, *bits), name)


@st.composite
def models(draw: st.DrawFn) -> tuple[Work, ...]:
    """Rows of a random quantized model of equal and unequal layers."""
    rows = []
    for index in range(draw(st.integers(1, 12))):
        group = draw(st.sampled_from((*GROUPS[:2], "qk", "downsample", "head", "other")))
        gemm = Gemm(draw(SIZES), draw(SIZES), 4, draw(SIZES), 4, 4, group != "qk")
        name = f"layers.{index}.{group}"
        weights = gemm.batch * gemm.k * gemm.n if gemm.b_static else 0
        actions = Counter({Action("mac", 4, 4): gemm.macs})
        rows.append(Work(name, "linear", group, "product", gemm, actions, (1, gemm.m, gemm.n), weights))
        made = Counter({Action("quantize", 32, 4): gemm.m * gemm.k})
        rows.append(
            Work(f"{name}.input", "quantize", "elementwise", "quantize", None, made, (1, gemm.m, gemm.k), serves=name)
        )
        role = draw(st.sampled_from(("layernorm", "qk_norm", "softmax", "gelu", "residual", "bias", "mul")))
        path = "norm" if not index else f"{name}.{role}"
        shape = (draw(SIZES), draw(SIZES), 4)
        rows.append(Work(path, role, "elementwise", role, shape=shape, parameters=draw(st.sampled_from((0, 8)))))
    return (*rows, Work(PARAMETERS, "constant", "elementwise", "parameters", parameters=draw(SIZES)))


@pytest.mark.parametrize("name", catalog.names(CATALOGUE))
@given(rows=models(), bits=st.sampled_from(WIDTHS))
def test_random_models(name: str, rows: tuple[Work, ...], bits: tuple[int, int]) -> None:
    same_costs(with_bits(rows, *bits), with_bits(condensed(rows), *bits), name)


@given(rows=models(), bits=st.sampled_from(WIDTHS))
def test_nothing_is_lost(rows: tuple[Work, ...], bits: tuple[int, int]) -> None:
    """Actions, elements, weights, parameters, nodes; and widths may be changed before or after."""
    short = with_bits(condensed(rows), *bits)
    whole = with_bits(rows, *bits)

    def sums(some: Rows) -> tuple[Any, ...]:
        actions: Counter[Action] = Counter()
        for row in some:
            actions.update(row.actions)
        amounts = [(r.macs, r.elements, r.weights, r.parameters, r.times) for r in some]
        return actions, [sum(column) for column in zip(*amounts, strict=True)], published_parameters(some)

    assert sums(short) == sums(whole)
    assert condensed(whole) == condensed(short)
    assert condensed(short) == short or bits[1] == 32  # without conversions more rows are equal


def test_a_deit_is_one_block(traced: Callable[..., Any]) -> None:
    rows = traced("DeiT-T").rows
    short = {row.node: row for row in condensed(rows)}
    assert len(rows) == 531
    assert len(short) == 50
    assert short["blocks.0.attn.qkv"].times == 12
    assert short["blocks.0.attn.qkv"].gemm == Gemm(12, 197, 192, 576, 4, 4, True)
    assert short["blocks.0.attn.qkv"].weights == 12 * 192 * 576
    assert short["blocks.0.norm1"].times == 24
    assert short["norm"].times == 1


def test_a_single_block_stays_as_it_is(block: Graph) -> None:
    assert condensed(work(block)) == work(block)


def test_equal_mergings_count_as_stages() -> None:
    """Swin's own code takes the last norm by the number of stages, which equal rows must not hide."""
    patch = Work("patch_embed.proj", "conv2d", "patch_embed", "product", Gemm(1, 64, 4, 4, 8, 8, True))
    merging = Work("layers.1.downsample.reduction", "linear", "downsample", "product", Gemm(1, 4, 4, 4, 4, 4, True))
    again = dataclasses.replace(merging, node="layers.2.downsample.reduction")
    norms = [Work(name, "layernorm", "elementwise", "layernorm", shape=(1, 4, 4)) for name in ("layers.2.norm", "norm")]
    rows = (patch, merging, again, *norms)
    assert len(condensed(rows)) == 4
    quirk = 4 * 64 >> 3
    assert tally(condensed(rows), SwinFlops()).by_group()["elementwise"] == 16 + quirk
    same_costs(rows, condensed(rows), "swin_flops")


def test_accumulators_and_codes_of_one_product_stay_apart() -> None:
    """Both are made into floats; only the codes' width follows the product's."""
    fc = Work("fc", "linear", "fc1", "product", Gemm(1, 3, 4, 4, 4, 4, True))
    reads = [
        Work(
            f"{of}.{at}",
            "dequantize",
            "elementwise",
            "dequantize",
            None,
            Counter({Action("dequantize", at, 32): 12}),
            (1, 3, 4),
        )
        for of, at in (("fc", 32), ("fc.input", 4))
    ]
    rows = (fc, *(dataclasses.replace(row, serves="fc") for row in reads))
    assert with_bits(condensed(rows), 2, 2) == with_bits(rows, 2, 2)
    assert with_bits(rows, 2, 2)[2].actions == {Action("dequantize", 2, 32): 12}
