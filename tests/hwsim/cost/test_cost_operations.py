"""What all conventions have in common: options, their meaning on rows that are counted by hand, and their errors."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.bitfusion import Bitfusion
from hwsim.cost.conventions.bitops_wa import BitopsWa
from hwsim.cost.conventions.flops import Flops
from hwsim.cost.conventions.macs import Macs
from hwsim.cost.conventions.size_bidet import SizeBidet
from hwsim.cost.elementwise import NONE, Elementwise
from hwsim.cost.operations import Operations
from hwsim.cost.table import tally
from hwsim.cost.work import with_bits, work
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.op import Gemm

MACS = {"qkv": 180, "qk": 150, "av": 150, "proj": 180, "head": 210}


def test_widths_of_groups(block: Graph) -> None:
    assert tally(block, BitopsWa()).total == 16 * 660 + 64 * 210
    assert tally(block, BitopsWa(attention_bits=2)).total == 16 * 360 + 4 * 300 + 64 * 210
    assert tally(block, BitopsWa(ends_bits=32)).total == 16 * 660 + 1024 * 210
    assert tally(block, BitopsWa(ends=("qkv", "qk"), ends_bits=1, attention_bits=2)).total == (
        180 + 150 + 4 * 150 + 16 * 180 + 64 * 210  # the ends' width, where a group is both
    )
    assert tally(block, BitopsWa(attention_matmuls=False, omit=("proj",))).total == 16 * 180 + 64 * 210


def test_in_a_float_model_everything_is_a_float(block: Graph) -> None:
    rows = with_bits(work(block), 32, 32)
    assert tally(rows, BitopsWa(attention_bits=8, ends_bits=8)).total == 1024 * 870
    assert tally(rows, BitopsWa(attention_matmuls=False)).total == 1024 * 570


def test_operations_per_mac_are_of_products_alone(block: Graph) -> None:
    elementwise = Elementwise(layernorm=4, softmax=3, bias=1, residual=1)
    once = tally(block, BirealLadder(elementwise=elementwise, ends_bits=None)).total
    assert once == 660 / 8 + 210 / 4 + 4 * 30 + 3 * 50 + 30 + 30
    assert tally(block, BirealLadder(elementwise=elementwise, ends_bits=None, flops_per_mac=2)).total - once == (
        660 / 8 + 210 / 4
    )
    assert tally(block, Flops()).total == 2 * tally(block, Macs()).total == 1740


def test_each_kind_of_elementwise_work(block: Graph) -> None:
    rows = work(block)
    kinds = {kind: sum(Elementwise(**{kind: 1}).amounts(rows)) for kind in ("conversion", "roll", "other", "gelu")}
    assert kinds == {
        # quantize: qkv's and proj's inputs, operands of QK^T and AV, head's; dequantize: qkv, qk, av, proj, head
        "conversion": 30 + 30 + 30 + 50 + 30 + 30 + 30 + (30 + 50 + 30 + 30 + 35),
        "roll": 0,
        "other": 0,
        "gelu": 0,
    }
    assert sum(NONE.amounts(rows)) == 0


def test_sizes(block: Graph) -> None:
    assert tally(block, SizeBidet()).total == (4 * 72 + 8 * 42 + 32 * 18) / 8
    assert tally(block, SizeBidet(weights_bits=2, ends_bits=3, rest_bits=8)).total == (2 * 72 + 3 * 42 + 8 * 18) / 8
    assert tally(block, SizeBidet(count_rest=False)).total == (4 * 72 + 8 * 42) / 8
    assert tally(block, SizeBidet(ends=("proj",), ends_bits=1)).total == (4 * 36 + 36 + 8 * 42 + 32 * 18) / 8
    floats = with_bits(work(block), 32, 32)
    assert tally(floats, SizeBidet(weights_bits=2, ends_bits=3, rest_bits=8)).total == 4 * (72 + 42 + 18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd(Operations):
    """A rule whose cost is whatever it is told."""

    cost: Any = 0
    unit = "OP"
    status = "inferred"

    def product(self, gemm: Gemm) -> float:
        return self.cost(gemm)


@pytest.mark.parametrize(
    ("cost", "got"),
    [
        (lambda gemm: gemm.macs / 0, "division by zero"),
        (lambda gemm: -1, "-1"),
        (lambda gemm: float("nan"), "nan"),
        (lambda gemm: 1e300 * gemm.m * 1e300, "inf"),
        (lambda gemm: math.log2(0), "math domain error"),
    ],
)
def test_a_cost_that_is_no_cost(block: Graph, cost: Callable[[Gemm], float], got: str) -> None:
    with pytest.raises(HwsimError) as error:
        tally(block, Odd(cost=cost, label="odd"))
    assert str(error.value) == (
        f"odd: a row must cost a finite number of 0 or more, got {got} at blocks.0.attn.qkv; mend the rule's formula"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: BirealLadder(flops_per_mac=3),
            "bireal_ladder: flops_per_mac must be 1 or 2, got 3; papers differ between these two",
        ),
        (lambda: BirealLadder(flops_per_mac=True), "bireal_ladder: flops_per_mac must be 1 or 2, got True; "),
        (
            lambda: Macs(flops_per_mac=2),
            "macs: flops_per_mac must be 1, got 2; choose flops, which counts two operations per MAC",
        ),
        (
            lambda: Macs(ends=("stem",)),
            "macs: ends must be groups of products, got 'stem'; known: patch_embed, conv, qkv, qk, av, proj, fc1, fc2, "
            "downsample, head, other",
        ),
        (lambda: Macs(ends="head"), "macs: ends must be a tuple of groups, got 'head'; put it in parentheses"),
        (lambda: Macs(omit=("elementwise",)), "macs: omit must be groups of products, got 'elementwise'; known: "),
        (lambda: Macs(ends_bits=9), "macs: ends_bits must be 1..8, 32 or none, got 9; 32 is float"),
        (lambda: Macs(attention_bits=0), "macs: attention_bits must be 1..8, 32 or none, got 0; 32 is float"),
        (lambda: Macs(attention_bits=4.0), "macs: attention_bits must be 1..8, 32 or none, got 4.0; 32 is float"),
        (
            lambda: Macs(attention_matmuls=1),
            "macs: attention_matmuls must be true or false, got 1; false leaves QK^T and AV out",
        ),
        (lambda: Macs(rounding="none"), "macs: rounding must be a Rounding, got 'none'; EXACT keeps totals"),
        (lambda: Macs(elementwise=None), "macs: elementwise must be an Elementwise, got None; NONE counts nothing"),
        (
            lambda: Elementwise(bias=-1),
            "elementwise.bias: a weight must be 0 or a positive number, got -1; 0 counts none",
        ),
        (
            lambda: Elementwise(bias=float("inf")),
            "elementwise.bias: a weight must be 0 or a positive number, got inf; 0 counts none",
        ),
        (
            lambda: SizeBidet(rest_bits=None),
            "size_bidet: rest_bits must be 1..8 or 32, got None; count_rest says whether they count",
        ),
        (lambda: SizeBidet(weights_bits=16), "size_bidet: weights_bits must be 1..8, 32 or none, got 16; 32 is float"),
        (
            lambda: SizeBidet(count_rest="no"),
            "size_bidet: count_rest must be true or false, got 'no'; false counts weights alone",
        ),
    ],
)
def test_options_that_cannot_be(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(HwsimError) as error:
        make()
    assert str(error.value).startswith(message)


def test_bits_that_a_rule_does_not_define(block: Graph) -> None:
    with pytest.raises(HwsimError) as error:
        tally(with_bits(work(block), 32, 32), Bitfusion())
    assert str(error.value) == (
        "bitfusion: bits must be one of 1, 2, 3, 4, 5, 6, 7, 8, got 32 at blocks.0.attn.qkv; choose one of them or a "
        "convention that is defined at any width, such as bitops_wa"
    )
    with pytest.raises(HwsimError) as error:  # W5A8: both widths must be defined, not the wider alone
        tally(with_bits(work(block), 5, 8), BirealLadder())
    assert ", got 5 at blocks.0.attn.qkv; " in str(error.value)
    with pytest.raises(HwsimError) as error:
        tally(with_bits(work(block), 4, 5), replace(BirealLadder(), label="mine"))
    assert str(error.value).startswith("mine: bits must be one of 1, 2, 3, 4, 8, 32, got 5 at blocks.0.attn.qkv; ")
