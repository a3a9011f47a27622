"""Figures as printed, and grids from files: what is read, and one line for what is not."""

import pytest

from hwsim.cost.rounding import Rounding
from hwsim.cost.search.figure import figure
from hwsim.cost.search.grid import Grid, read_grid
from hwsim.errors import BadFile, HwsimError, UnknownName


@pytest.mark.parametrize(
    ("text", "low", "high", "decimals"),
    [("6.14", 6.135, 6.145, 2), ("21", 20.5, 21.5, 0), (" 22.0 ", 21.95, 22.05, 1)],
)
def test_printed_digits_leave_half_a_unit_open(text, low, high, decimals):
    found = figure("speedup", text)
    assert (found.low, found.high, found.decimals) == pytest.approx((low, high, decimals))


def test_halves_go_up():
    """21.5 is printed as 22, and 6.135 as 6.14; a tolerance takes in both its ends."""
    assert figure("speedup", "21").holds([20.4999, 20.5, 21.4999, 21.5]).tolist() == [False, True, True, False]
    assert figure("speedup", "6.14").holds([6.1349999, 6.135, 6.145]).tolist() == [False, True, False]
    assert figure("speedup", "20", 0.1).holds([17.999, 18, 22, 22.001]).tolist() == [False, True, True, False]


def test_a_tolerance_is_relative():
    found = figure("size", "20", 0.1)
    assert (found.low, found.high) == (18, 22)
    assert figure("size", "20", 0).low == 20


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [("speedup", "6.14", "6.14x"), ("ops", "4.6", "4.6 G operations"), ("size", "22.0", "22.0 MB")],
)
def test_a_figure_as_text(kind, text, shown):
    assert str(figure(kind, text)) == shown


@pytest.mark.parametrize(
    "text", ["0", "0.0", "-6.14", "nan", "inf", "six", "", "6,14", "6.14x", "6_14", "1e2", "1e999999999", "."]
)
def test_a_figure_is_a_positive_number(text):
    with pytest.raises(HwsimError) as error:
        figure("speedup", text)
    assert str(error.value) == f"speedup: a figure must be a positive number, got {text!r}; give it as printed, 6.14"


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_tolerance_is_a_share(tolerance):
    with pytest.raises(HwsimError) as error:
        figure("speedup", "6.14", tolerance)
    assert str(error.value) == f"tolerance: must be relative and in 0..1, got {tolerance}; 0.01 allows one per cent"


def test_an_unknown_kind():
    with pytest.raises(UnknownName, match="figure: unknown name, got 'speed'; known, nearest first: speedup"):
        figure("speed", "6")


def written(tmp_path, text):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return path


def test_a_file_replaces_values_key_by_key(tmp_path):
    text = """
    ends = [["head"], ["patch_embed", "head"]]
    ends_bits = ["own", 32]
    attention_on = ["both"]
    rounding = ["none", "round:1:G"]
    [elementwise]
    softmax = [0, 2.5]
    conversion = [0, 1]
    """
    grid, usual = read_grid(written(tmp_path, text)), Grid()
    assert grid.options["ends"] == (("head",), ("patch_embed", "head"))
    assert grid.options["ends_bits"] == ("own", 32)
    assert grid.options["attention_bits"] == usual.options["attention_bits"]
    assert (grid.attention_on, grid.elementwise_on) == (("both",), usual.elementwise_on)
    assert grid.rounding == (Rounding(), Rounding("round", 1, "G"))
    assert grid.elementwise == {**usual.elementwise, "softmax": (0, 2.5), "conversion": (0, 1)}
    assert read_grid(written(tmp_path, "")) == usual


OPTIONS = "ends, ends_bits, attention_bits"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("end_bits = [8]", "unknown key, got 'end_bits'; known, nearest first: ends_bits, "),
        (
            "[elementwise]\nsoft = [1]",
            "unknown key, got 'elementwise.soft'; known, nearest first: elementwise.softmax, ",
        ),
        ("elementwise = 3", "elementwise must be a table of lists, got 3; write softmax = [0, 4] below it"),
        ("ends_bits = 8", "ends_bits must be a list of values, got 8; write ends_bits = [...]"),
        ("ends_bits = []", "ends_bits must be a list of values, got []; write ends_bits = [...]"),
        (
            "[elementwise]\ngelu = [-1]",
            "elementwise.gelu: a weight must be 0 or a positive number, got -1; 0 counts none",
        ),
        (
            '[elementwise]\ngelu = ["1"]',
            "elementwise.gelu: a weight must be 0 or a positive number, got '1'; 0 counts none",
        ),
        ('attention_on = ["left"]', "attention_on must be of both, quantized, float, none, got 'left'; "),
        ('rounding = ["up"]', "rounding: how must be one of none, round, truncate, got 'up'; none keeps totals"),
        ("rounding = [1]", "rounding: how must be one of none, round, truncate, got '1'; none keeps totals"),
        ("ends_bits = [9]", "bireal_ladder: ends_bits must be 1..8, 32 or none, got 9; 32 is float, none the own"),
        ("flops_per_mac = [3]", "bireal_ladder: flops_per_mac must be 1 or 2, got 3; "),
        ('ends = [["tail"]]', "bireal_ladder: ends must be groups of products, got 'tail'; "),
        ("ends = [", "cannot be read as a grid, got "),
    ],
)
def test_what_a_file_may_not_say(text, message, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(BadFile) as error:
        read_grid(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadFile, match=r"none.toml: cannot be read as a grid, got .*; give a TOML file of lists"):
        read_grid(tmp_path / "none.toml")
