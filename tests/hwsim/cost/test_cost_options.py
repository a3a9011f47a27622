import dataclasses
from typing import Any

import pytest

from hwsim import catalog
from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.conventions.qvit_table import QvitTable
from hwsim.cost.conventions.size_hawq import SizeHawq
from hwsim.cost.elementwise import NONE, QVIT, SWIN, Elementwise
from hwsim.cost.options import changed, flat, of, texts
from hwsim.cost.rounding import EXACT, Rounding
from hwsim.cost.table import CATALOGUE, find, resolve, tally
from hwsim.errors import HwsimError
from hwsim.graph import Graph


def test_every_kind_of_option() -> None:
    options = {
        "attention_bits": "8",
        "attention_matmuls": "false",
        "elementwise.layernorm": "4",
        "elementwise.swin_final_norm": "true",
        "ends": "patch_embed, head",
        "ends_bits": "none",
        "flops_per_mac": "2",
        "label": "ours",
        "omit": "",
        "rounding": "round:1:G",
    }
    wanted = BirealLadder(
        attention_bits=8,
        attention_matmuls=False,
        elementwise=Elementwise(layernorm=4, swin_final_norm=True),
        ends_bits=None,
        flops_per_mac=2,
        rounding=Rounding("round", 1, "G"),
    )
    found = resolve("bireal_ladder", options)
    assert (found, found.name) == (wanted, "ours")


def test_a_part_changes_that_part_alone() -> None:
    assert resolve("qvit_table", {"elementwise.gelu": "8"}) == QvitTable(elementwise=dataclasses.replace(QVIT, gelu=8))
    assert resolve("qvit_table", {"rounding.decimals": "2"}) == QvitTable(rounding=Rounding("round", 2, "G"))
    both = {"elementwise.bias": "0.5", "elementwise": "swin"}  # the whole first, whatever the order
    assert resolve("qvit_table", both) == QvitTable(elementwise=dataclasses.replace(SWIN, bias=0.5))
    assert resolve("qvit_table", {"elementwise": "none"}) == QvitTable(elementwise=NONE)
    assert resolve("size_hawq", {"rounding": "none"}) == SizeHawq(rounding=EXACT)


def test_an_option_reaches_the_price(block: Graph) -> None:
    assert tally(block, resolve("macs", {"attention_matmuls": "false"})).total == 870 - 300
    assert tally(block, resolve("macs", {"omit": "qkv,head"})).total == 870 - 180 - 210
    assert tally(block, resolve("bitops_wa", {"ends_bits": "2"})).by_group()["head"] == 4 * 210


@pytest.mark.parametrize("name", catalog.names(CATALOGUE))
def test_texts_are_read_back(name: str) -> None:
    convention = find(name)()
    assert set(of(find(name))) == {field.name for field in dataclasses.fields(convention)}
    assert changed(convention, texts(convention)) == convention
    if isinstance(convention, BirealLadder):
        other = dataclasses.replace(
            convention, elementwise=Elementwise(gelu=1.5, swin_final_norm=True), attention_bits=8
        )
        assert changed(convention, texts(other)) == other


def test_values_of_toml() -> None:
    table = {"ends": ["head"], "ends_bits": 8, "attention_matmuls": False, "elementwise": {"gelu": 2, "bias": 0.5}}
    assert flat(table) == {
        "ends": ["head"],
        "ends_bits": 8,
        "attention_matmuls": False,
        "elementwise.gelu": 2,
        "elementwise.bias": 0.5,
    }
    wanted = BirealLadder(
        ends=("head",), ends_bits=8, attention_matmuls=False, elementwise=Elementwise(layernorm=1, gelu=2, bias=0.5)
    )
    assert changed(BirealLadder(), flat(table)) == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"attention_bit": "8"},
            "bireal_ladder: option: unknown name, got 'attention_bit'; known, nearest first: attention_bits, "
            "attention_matmuls, ends_bits, omit, elementwise, rounding, ends, label, flops_per_mac",
        ),
        (
            {"elementwise.norm": "1"},
            "bireal_ladder: elementwise: option: unknown name, got 'norm'; known, nearest first: qk_norm, layernorm, other, "
            "swin_final_norm, softmax, conversion, roll, residual, bias, gelu",
        ),
        (
            {"ends.first": "8"},
            "bireal_ladder: option: unknown name, got 'ends.first'; known, nearest first: ends_bits, ends, ",
        ),
        (
            {"attention_bits": "eight"},
            "bireal_ladder: attention_bits must be an integer or none, got 'eight'; write attention_bits=8",
        ),
        (
            {"flops_per_mac": "none"},
            "bireal_ladder: flops_per_mac must be an integer, got 'none'; write flops_per_mac=2",
        ),
        (
            {"attention_matmuls": "no"},
            "bireal_ladder: attention_matmuls must be true or false, got 'no'; write attention_matmuls=true",
        ),
        ({"attention_matmuls": 0}, "bireal_ladder: attention_matmuls must be true or false, got 0; write "),
        ({"ends_bits": True}, "bireal_ladder: ends_bits must be an integer or none, got True; write ends_bits=8"),
        ({"ends": [1]}, "bireal_ladder: ends must be groups with commas between them, got [1]; write ends=patch_embed"),
        ({"ends": "stem"}, "bireal_ladder: ends must be groups of products, got 'stem'; known: patch_embed, "),
        (
            {"elementwise.gelu": "much"},
            "bireal_ladder: elementwise: gelu must be a number, got 'much'; write gelu=1.5",
        ),
        (
            {"elementwise.gelu": "-1"},
            "elementwise.gelu: a weight must be 0 or a positive number, got -1.0; 0 counts none",
        ),
        (
            {"elementwise": "resnet"},
            "bireal_ladder: elementwise must be none, layernorm, one_each, swin, qvit or a table of weights, got 'resnet'; "
            "write elementwise=swin",
        ),
        ({"rounding": 1}, "bireal_ladder: rounding must be way:decimals:prefix, got 1; write rounding=round:1:G"),
        ({"rounding": "up:1"}, "rounding: how must be one of none, round, truncate, got 'up'; none keeps totals"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HwsimError) as error:
        resolve("bireal_ladder", options)
    assert str(error.value).startswith(message)
