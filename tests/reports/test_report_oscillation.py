"""The figure of oscillation: what is drawn of hand-made records."""

import pytest

from hwsim.errors import BadFile
from hwsim.record import Record
from reports.figures.oscillation import oscillation


def share(epoch, value, seed=0, workload="w", node="", **tags):
    said = {"epoch": epoch, "seed": seed, **tags}
    return Record(
        workload, "oscillating", value, "fraction", node, tags=tuple((key, str(text)) for key, text in said.items())
    )


def lines(plot):
    """Label and points of every line, panel by panel."""
    return [
        {
            line.get_label(): list(zip(*(list(map(float, part)) for part in line.get_data()), strict=True))
            for line in a.lines
        }
        for a in plot.figure.axes
    ]


def test_lines_are_means_over_seeds_in_percent():
    rows = [share(e, 0.01 * e * (1 + s), s, label="LSQ") for s in (0, 1) for e in (2, 1, 4)]
    plot = oscillation([*rows, share(1, 0.5, label="VVTQ"), share(3, 0.25, label="VVTQ")])
    (panel,) = lines(plot)
    assert panel["LSQ"] == [pytest.approx(p) for p in ((25, 1.5), (50, 3), (100, 6))]
    assert panel["VVTQ"] == [pytest.approx(p) for p in ((100 / 3, 50), (100, 25))]
    assert "means over 1 or 2 seeds" in plot.caption
    (area,) = plot.figure.axes[0].collections  # of the method with two seeds
    assert area.get_paths()[0].get_extents().y1 == pytest.approx(8)


def test_a_seed_that_is_not_done_ends_the_mean_where_it_ends():
    (panel,) = lines(oscillation([share(e, 0.1, s, label="LSQ") for s, n in ((0, 5), (1, 3)) for e in range(1, n)]))
    assert [x for x, _ in panel["LSQ"]] == [25, 50]


def test_workloads_have_panels_and_methods_their_colours():
    rows = [
        share(e, 0.1, workload=f"{w}_w2a2_{m}", method=m) for e in (1, 2) for w in ("a", "b") for m in ("lsq", "vvtq")
    ]
    figure = oscillation(rows).figure
    assert [axes.get_title("left") for axes in figure.axes] == ["a_w2a2", "b_w2a2"]
    colours = [{line.get_label(): line.get_color() for line in axes.lines} for axes in figure.axes]
    assert colours[0] == colours[1]
    assert len(set(colours[0].values())) == 2


def test_switches_that_were_set_tell_methods_apart():
    rows = [share(e, 0.1 * e, method="vvtq", bits="w2a2", **more) for e in (1, 2) for more in ({}, {"bins": "0"})]
    (panel,) = lines(oscillation(rows))
    assert list(panel) == ["vvtq", "vvtq, bins=0"]


def test_layers_and_single_epochs_are_no_curves():
    assert oscillation([share(e, 0.1, node="blocks.0") for e in (1, 2)]) is None
    assert oscillation([share(1, 0.1), share(1, 0.1, workload="v")]) is None


def test_an_epoch_must_be_a_number():
    with pytest.raises(
        BadFile, match=r"^record w/oscillating: the tag epoch must be an integer, got 'last'; write the rec"
    ):
        oscillation([share("last", 0.1)])
