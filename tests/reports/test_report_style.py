import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from hwsim.errors import BadFile
from reports.prefixes import engineering
from reports.style import save, styled


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4.60077e9, "FLOP", "4.601 GFLOP"),
        (21_455_413_248, "bit-op", "21.46 Gbit-op"),
        (999_999, "B", "1.000 MB"),
        (1000, "", "1 k"),
        (999, "MAC", "999 MAC"),
        (0, "MAC", "0 MAC"),
        (0, "", "0"),
        (-1_500, "J", "-1.500 kJ"),
        (0.25, "s", "0.250 s"),
        (2.5e-7, "s", "2.5e-07 s"),
        (3e12, "OP", "3 TOP"),
        (4e15, "OP", "4000 TOP"),
    ],
)
def test_engineering(value, unit, text):
    assert engineering(value, unit) == text


def test_the_users_own_settings_change_nothing_and_come_back(tmp_path):
    def drawn(name):
        with styled():
            figure = Figure()
            figure.subplots().plot([1, 2], [3, 4], label="$x^")
        return [path.read_bytes() for path in save(figure, tmp_path / name, "plot")]

    plain = drawn("a")
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "other", "lines.linewidth": 9}):
        assert drawn("b") == plain
        assert mpl.rcParams["font.size"] == 30


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match=r"plot.png: cannot be written, got .*; choose another place"):
        save(Figure(), tmp_path / "file", "plot")
