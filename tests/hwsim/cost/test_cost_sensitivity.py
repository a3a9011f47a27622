"""Each option alone: against speedups of conventions written out, and against FACTS."""

from collections.abc import Callable

import pytest

from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.bitops_wa import BitopsWa
from hwsim.cost.elementwise import QVIT, Elementwise
from hwsim.cost.rounding import Rounding
from hwsim.cost.search.grid import Grid
from hwsim.cost.sensitivity import sensitivity
from hwsim.cost.table import speedup
from hwsim.cost.work import with_bits

DEIT = "deit_small_patch16_224"


@pytest.fixture(scope="module")
def rows(traced: Callable) -> tuple:
    return with_bits(traced("DeiT-S").rows, 4, 4)


@pytest.fixture(scope="module")
def records(rows: tuple) -> list:
    return sensitivity({DEIT: rows}, {DEIT: "DeiT-S"}, (4, 4), claimed="6.14")


def value(records, option, setting):
    (found,) = (r.value for r in records if (r.node, r.tag("setting")) == (option, setting))
    return found


@pytest.mark.parametrize(
    ("option", "setting", "convention"),
    [
        ("", "bireal_ladder", BirealLadder()),
        ("rule", "bitops_wa", BitopsWa()),
        ("attention_bits", "attention products at 8 bits", BirealLadder(attention_bits=8)),
        ("attention_on", "attention products not counted", BirealLadder(attention_matmuls=False)),
        ("ends_bits", "ends at 4 bits", BirealLadder(ends_bits=4)),
        ("ends_bits", "ends at their own bits", BirealLadder(ends_bits=None)),
        ("ends", "ends: head alone", BirealLadder(ends=("head",))),
        ("flops_per_mac", "2 FLOPs per MAC", BirealLadder(flops_per_mac=2)),
        ("elementwise", "qvit", BirealLadder(elementwise=QVIT)),
        ("elementwise.gelu", "8", BirealLadder(elementwise=Elementwise(layernorm=1, gelu=8))),
        ("rounding", "rounded to 1 decimal of G", BirealLadder(rounding=Rounding("round", 1, "G"))),
    ],
)
def test_each_value_is_the_speedup_of_that_convention(option, setting, convention, records, rows):
    assert value(records, option, setting) == pytest.approx(speedup(rows, convention), rel=1e-12)


def test_the_base_is_the_documented_rule(records):
    base = records[0]
    assert (base.workload, base.node, base.tag("base"), base.tag("printed")) == (DEIT, "", "bireal_ladder", "6.14")
    assert base.value == pytest.approx(7.33, abs=0.005)
    for option in {r.node for r in records}:
        assert base.value in [r.value for r in records if r.node == option]


def test_one_sided_counting_is_marked(records):
    differ = {r.tag("setting") for r in records if r.tag("sides") == "differ"}
    assert differ == {
        "qvit_table",
        "attention products on the quantized side alone",
        "attention products on the float side alone",
    }


def test_rules_that_widths_do_not_matter_to_are_left_out(records):
    rules = {r.tag("setting") for r in records if r.node == "rule"}
    assert {"bireal_ladder", "bitops_wa", "linear_bits", "bops_baskin"} <= rules
    assert not rules & {"macs", "flops", "swin_flops", "bitfusion", "xnor_conv", "size_simple"}


def test_another_base_and_grid(rows):
    grid = Grid(options={"ends_bits": (2,)}, elementwise={}, attention_on=("both",), rounding=(Rounding(),))
    found = sensitivity({DEIT: rows}, {DEIT: "DeiT-S"}, (4, 4), base=BitopsWa(), grid=grid)
    assert found[0].tag("base") == "bitops_wa"
    assert value(found, "ends_bits", "ends at 2 bits") == pytest.approx(speedup(rows, BitopsWa(ends_bits=2)))
    assert {r.node for r in found} == {"", "model", "rule", "ends_bits", "elementwise", "rounding"}
