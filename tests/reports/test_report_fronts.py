"""Pareto fronts: which machines a table shows, and what a figure draws."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from reports.figures.pareto_front import pareto_front as drawn
from reports.fronts import fronts
from reports.tables.pareto_front import pareto_front

made = runpy.run_path(str(Path(__file__).with_name("_fronts.py")))["fronts"]


def without(records, metric):
    return [record for record in records if record.metric != metric]


def test_fronts_are_told_apart_by_sweep_and_number():
    first, second = fronts(made())
    assert [len(front) for front in (first, second)] == [20, 20]
    assert [point.best for point in first] == [True, False] * 10
    assert first[0].values == {"latency": 32.0, "energy": 1.0, "area": 3.0, "size": 22.0}
    assert first[0].name(()) == "DeiT-S W8A8, horowitz_45nm"
    assert second[0].name(()) == "DeiT-S mine.json, batch 8, horowitz_45nm"
    other = [replace(r, tags=tuple({**dict(r.tags), "sweep": "other"}.items())) for r in made()]
    assert len(fronts([*made(), *other])) == 4
    assert fronts(without(made(), "sweep_area")) == ()


def test_a_table_has_the_machines_that_are_not_beaten():
    table = pareto_front(made(("w8a8",), 8))
    assert table.columns == ("Front", "Of", "Machine", "Latency, ms", "Energy, mJ", "Area, mm2", "Weights, MB")
    assert [row[4] for row in table.rows] == ["1", "3", "5", "7"]
    assert table.rows[1] == (
        "DeiT-S W8A8, horowitz_45nm",
        "4 / 1000",
        "dataflow weight_stationary, rows cols 32, gb_per_s 3",
        "12",
        "3",
        "3.222",
        "22",
    )


@pytest.mark.parametrize(("points", "rows"), [(1, 1), (2, 1), (23, 12), (24, 12), (100, 12)])
def test_of_a_long_front_it_shows_some_with_both_ends(points, rows):
    table = pareto_front(made(("w8a8",), points))
    energies = [float(row[4]) for row in table.rows]
    assert len(set(energies)) == rows
    assert energies == sorted(energies)
    assert (energies[0], energies[-1]) == (1, 2 * ((points + 1) // 2) - 1)


def test_the_machine_is_named_where_there_are_several():
    two = made(("w8a8",), 4)
    two += [replace(r, accelerator="stripes", tags=tuple({**dict(r.tags), "front": "1"}.items())) for r in two]
    assert {row[2].partition(":")[0] for row in pareto_front(two).rows} == {"systolic_32x32", "stripes"}


@pytest.mark.parametrize(
    ("objectives", "titles", "across"),
    [
        ("latency energy area", ["Energy (mJ)", "Area (mm2)"], "Latency (ms)"),
        ("area latency", ["Latency (ms)"], "Area (mm2)"),
        ("size", ["Latency (ms)"], "Weights (MB)"),
        ("", ["Energy (mJ)"], "Latency (ms)"),
    ],
)
def test_a_panel_for_each_objective(objectives, titles, across):
    plot = drawn(made(objectives=objectives))
    assert [axes.get_title(loc="left") for axes in plot.figure.axes] == titles
    assert {axes.get_xlabel() for axes in plot.figure.axes} == {across}


def test_fronts_that_cannot_be_told_apart_are_left_out_aloud():
    plot = drawn(made(tuple(f"f{n}.json" for n in range(15))))
    assert plot.caption.endswith(" 3 further fronts are left out.")
    assert len(plot.figure.legends[0].get_texts()) == 12
    assert "left out" not in drawn(made()).caption
