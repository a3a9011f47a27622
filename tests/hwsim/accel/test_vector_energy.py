"""Actions of the vector unit: composed as documented, of Horowitz's figures, and for every kind that operators count."""

import ast
from pathlib import Path

import pytest

from hwsim.accel import energy, vector_energy
from hwsim.errors import UnknownName

OPS = Path(vector_energy.__file__).parents[1] / "ops"
HOROWITZ = energy.find("horowitz_45nm")


def test_floats_and_integers_of_listed_widths():
    pj = HOROWITZ.action
    assert pj("add", 32, 32) == 0.9
    assert pj("mul", 32, 8) == 3.7
    assert pj("mac", 32, 32) == 3.7 + 0.9
    assert pj("add", 8, 8) == pj("add", 4, 8) == 0.03
    assert pj("mul", 8, 8) == pj("mul", 4, 16) == 0.2
    assert pj("max", 8, 8) == pj("shift", 8, 8) == 0.03


def test_compositions():
    pj, mul, add = HOROWITZ.action, 3.7, 0.9
    assert pj("div", 32, 32) == 7.1 * mul
    assert pj("exp", 32, 32) == 6 * mul + 6 * add
    assert pj("erf", 32, 32) == pytest.approx(12 * mul + 12 * add + 7.1 * mul)
    assert pj("tanh", 32, 32) == pytest.approx(6 * mul + 8 * add + 7.1 * mul)
    assert pj("div", 16, 8) == 16 * 0.03
    assert pj("sqrt", 8, 8) == 4 * 0.03
    assert pj("quantize", 32, 8) == pytest.approx(mul + 3 * 0.1)
    assert pj("dequantize", 32, 32) == mul + 0.1
    assert pj("requantize", 32, 8) == pytest.approx(3.1 * 31 / 32 + 2 * 0.1 * 63 / 32 + 2 * 0.1, rel=0.02)
    assert pj("move", 8, 8) == 2 * 8 * 0.009
    table_of_256_bytes = float(HOROWITZ.sram_read(0.25))
    assert pj("lookup", 8, 8) == 8 * table_of_256_bytes


@pytest.mark.parametrize("name", energy.names())
def test_every_kind_has_a_price_that_grows_with_the_width(name):
    table = energy.find(name)
    for kind in vector_energy.KINDS:
        prices = [table.action(kind, bits, bits) for bits in (1, 2, 3, 4, 8, 16, 24)]
        assert prices[0] > 0
        assert prices == sorted(prices)
        assert table.action(kind, 32, 32) > 0
    assert table.action("exp", 32, 32) > table.action("mul", 32, 32) > table.action("add", 32, 32)


def test_all_kinds_that_operators_count_are_priced():
    counted = {
        node.args[0].value
        for file in OPS.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Action"
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(counted) > 8
    assert counted <= set(vector_energy.KINDS)


def test_an_unknown_kind():
    with pytest.raises(UnknownName) as caught:
        HOROWITZ.action("adds", 8, 8)
    assert str(caught.value).startswith("action: unknown name, got 'adds'; known, nearest first: add, ")
