"""The tables, the figures and the words about accelerators: what they say of hand-made records."""

import pytest
from matplotlib.patches import Rectangle

from hwsim.errors import BadFile
from hwsim.record import Record
from reports import prose
from reports.estimates import (
    arranged,
    cases,
    elsewhere,
    energies,
    ladder,
    on_paper,
    parts,
    shares,
    shown,
    usual,
    widths,
)
from reports.figures.cycles_split import cycles_split as drawn_split
from reports.figures.energy_spread import energy_spread
from reports.figures.roofline import roofline
from reports.figures.speedup_gap import speedup_gap as drawn_gap
from reports.groups import macs_by_group
from reports.tables.costs import costs
from reports.tables.cycles_split import cycles_split
from reports.tables.energy_tables import energy_tables
from reports.tables.estimates import estimates
from reports.tables.node_cycles import node_cycles
from reports.tables.pipeline_units import pipeline_units
from reports.tables.speedup_gap import speedup_gap
from reports.tables.vector_work import vector_work

PARTS = ("useful", "mapping", "fill", "port", "dram", "vector")


def record(metric, value, node="", accelerator="a", bits=4, workload="w", batch=1, **tags):
    said = {"wbits": bits, "abits": bits, "batch": batch, **({"level": "group"} if node else {}), **tags}
    return Record(workload, metric, value, "", node, accelerator, tags=tuple((k, str(v)) for k, v in said.items()))


def split(*cycles, **where):
    """The records of cycles by part, and of all."""
    by = {"cycles": sum(cycles), **{f"{part}_cycles": n for part, n in zip(PARTS, cycles, strict=True)}}
    return [record(metric, n, **where) for metric, n in by.items()]


def steps(over, *ratios, **where):
    return [record("speedup", x, over=over, step=part, **where) for part, x in zip(PARTS, ratios, strict=True)]


def energy(table, *mj, **where):
    by = dict(zip(("mac", "sram", "dram", "vector", "leakage"), mj, strict=True))
    return [record("energy", v, table=table, component=c, **where) for c, v in {**by, "total": sum(mj)}.items()]


def bars(axes):
    """(left, width) of every bar that has a width."""
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(round(b.get_x(), 9), round(b.get_width(), 9)) for b in found if b.get_width()]


ONE = [
    *split(6e6, 2e6, 1e6, 0, 1e6, 0),
    *split(5e6, 1e6, 1e6, 0, 1e6, 0, node="fc1"),
    *split(1e6, 1e6, 0, 0, 0, 0, node="qk"),
]


def test_cases_stand_apart_and_nodes_are_not_among_them():
    rows = [*split(1, 0, 0, 0, 0, 0), *split(1, 0, 0, 0, 0, 0, bits=8), *split(1, 0, 0, 0, 0, 0, batch=8)]
    rows += [record("cycles", 3, "blocks.0", level="node"), Record("w", "energy", 1, "mJ", "", "a")]
    found = cases([*rows, record("cycles", 1, accelerator="")])
    assert [(case.accelerator, case.bits, case.batch) for case in found] == [
        ("a", (4, 4), "1"),
        ("a", (8, 8), "1"),
        ("a", (4, 4), "8"),
    ]
    assert all(len(of) == 7 for of in found.values())
    assert [str(case) for case in shown(found)] == ["a, W4A4", "a, W8A8"]


def test_of_many_widths_the_ends_and_the_usual_one_are_drawn():
    one = cases(record("cycles", 1, bits=b) for b in (2, 3, 4, 5, 6, 8))
    assert widths(one) == ((8, 8), (4, 4), (2, 2))
    assert widths(cases(record("cycles", 1, bits=b) for b in (8, 5, 3))) == ((8, 8), (5, 5), (3, 3))
    assert [case.bits for case in usual(cases(record("cycles", 1, bits=b) for b in (2, 3, 5, 8)))] == [(5, 5)]
    assert [[case and case.bits[0] for case in line] for line in arranged(one)] == [[8, 6, 5], [4, 3, 2]]
    both = cases([record("cycles", 1, bits=b, accelerator=a) for b in (8, 5, 4, 2) for a in "ab" if (a, b) != ("b", 2)])
    grid = arranged(both)
    assert [[case and str(case) for case in line] for line in grid] == [
        ["a, W8A8", "a, W4A4", "a, W2A2"],
        ["b, W8A8", "b, W4A4", None],
    ]
    drawn = [case for line in grid for case in line if case]
    assert elsewhere([*both, *cases([record("cycles", 1, workload="v", batch=8)])], drawn, ()) == (
        " Not shown here: W5A5, v, batch 8."
    )
    assert elsewhere(drawn, drawn, ()) == ""
    assert arranged(()) == ()


def test_what_is_not_whole_is_not_there():
    assert parts(ONE) == (6e6, 2e6, 1e6, 0, 1e6, 0)
    assert parts(ONE[:-1], "qk") is None
    assert energies(energy("t", 1, 2, 3, 4, 5)[1:]) == {}
    assert ladder(steps("int8", 1, 1, 1, 1, 1, 1)[:5], "int8") is None
    assert drawn_split(split(1, 1, 1, 1, 1, 1)[:6]) is None


@pytest.mark.parametrize(
    ("amounts", "percent"), [((1, 3), (25, 75)), ((5, 0, 0), (100, 0, 0)), ((0, 0), (0, 0)), ((), ())]
)
def test_shares_are_percent(amounts, percent):
    assert shares(amounts) == percent


def test_the_estimates():
    rows = [
        *ONE,
        record("latency", 20.5),
        record("fps", 48.78),
        record("utilisation", 0.6),
        record("dram_bytes", 2.5e7),
    ]
    rows += energy("t", 1, 1, 1, 0, 0) + energy("u", 2, 2, 2, 0, 0) + split(1e6, 0, 0, 0, 0, 0, accelerator="b")
    table = estimates(rows)
    assert table.columns[3:] == ("Mcycles", "Latency, ms", "Frames/s", "Utilisation, %", "DRAM, MB", "Energy, mJ")
    assert table.rows == (
        ("w", "a", "W4A4", "10.000", "20.500", "48.8", "60.0", "25.000", "3 to 6"),
        ("w", "b", "W4A4", "1.000", "", "", "", "", ""),
    )
    assert "MAC/B:" in table.note
    assert "nothing was measured." in table.note
    seen = estimates([*rows, record("fps", 1.0, accelerator="b", activity="act.json, 20 images")])
    assert "codes as measured: act.json, 20 images." in seen.note
    assert "nothing was measured" not in seen.note
    sized = estimates([*rows, record("area", 1.25, table="t"), record("area", 3.5, table="u")])
    assert (sized.columns[-1], sized.rows[0][-1], sized.rows[1][-1]) == ("Area, mm2 (proxy)", "1.25 to 3.5", "")
    assert "Area:" in sized.note
    batched = estimates([*split(1e6, 0, 0, 0, 0, 0), *split(2e6, 0, 0, 0, 0, 0, batch=8)])
    assert batched.rows == (("w", "a", "W4A4", "1", "1.000"), ("w", "a", "W4A4", "8", "2.000"))


def test_cycles_by_group():
    rows = [*ONE, record("macs", 4.5e6, "fc1")]
    assert cycles_split(rows).rows == (
        ("a", "W4A4", "qk", "", "2.000", "50.0", "50.0", "0.0", "0.0", "0.0", "0.0"),
        ("a", "W4A4", "fc1", "4.5", "8.000", "62.5", "12.5", "12.5", "0.0", "12.5", "0.0"),
        ("a", "W4A4", "all layers", "", "10.000", "60.0", "20.0", "10.0", "0.0", "10.0", "0.0"),
    )
    upper, lower = drawn_split(rows).figure.axes
    assert bars(upper) == [(0, 60), (60, 20), (80, 10), (90, 10)]
    assert upper.get_xlim() == (0, 100)
    assert upper.get_title(loc="left") == "a, W4A4\nall layers = 100 %: 10 M cycles"
    assert bars(lower) == [(0, 1), (1, 1), (0, 5), (5, 1), (6, 1), (7, 1)]
    assert [text.get_text() for text in lower.get_yticklabels()] == ["qk", "fc1"]
    assert [text.get_text() for text in upper.texts] == ["60", "20", "10", "10"]


def test_percents_are_the_same_in_figure_table_and_words():
    rows = split(374e3, 252e3, 374e3, 0, 0, 0)  # made to add up to 100, 37.4 % would be 38
    assert cycles_split(rows).rows[0][4:7] == ("37.4", "25.2", "37.4")
    upper, _ = drawn_split(rows).figure.axes
    assert [text.get_text() for text in upper.texts] == ["37", "25", "37"]
    assert "Useful work takes 37 % of the cycles" in prose.accelerator(rows).paragraphs[1]


UNITS = [
    *(record("unit_cycles", n, unit, level="unit") for unit, n in (("fc1", 4e6), ("softmax", 1e7), ("qk", 5e6))),
]


def test_groups_of_a_pipeline_have_a_share_of_the_interval():
    words = "On a, a pipeline, all units work at once: a group's cycles are its share of the interval between images."
    assert words in cycles_split([*ONE, *UNITS]).note
    assert words in drawn_split([*ONE, *UNITS]).caption
    assert "pipeline, all" not in cycles_split(ONE).note + drawn_split(ONE).caption


def test_the_units_of_a_pipeline():
    table = pipeline_units([*ONE, *UNITS])
    assert table.title == "Units of a pipeline: softmax sets the interval"
    assert table.rows == (
        ("a", "W4A4", "softmax", "10,000,000", "100.0"),
        ("a", "W4A4", "qk", "5,000,000", "50.0"),
        ("a", "W4A4", "fc1", "4,000,000", "40.0"),
    )
    slower = [*split(1.2e7, 0, 0, 0, 8e6, 0, accelerator="b"), record("unit_cycles", 1e7, "qk", "b", level="unit")]
    both = pipeline_units([*ONE, *UNITS, *slower])
    assert both.title == "Units of a pipeline: softmax (a, W4A4), DRAM (b, W4A4) set the interval"
    assert both.rows[-1] == ("b", "W4A4", "qk", "10,000,000", "50.0")
    batched = [*split(8e7, 0, 0, 0, 0, 0, batch=8), record("unit_cycles", 1e7, "qk", batch=8, level="unit")]
    assert pipeline_units(batched).rows == (("a", "W4A4", "qk", "10,000,000", "100.0"),)
    assert pipeline_units(UNITS[:1]).rows == (("a", "W4A4", "fc1", "4,000,000", "100.0"),)
    assert pipeline_units(ONE) is None


def test_what_the_vector_unit_works_on():
    rows = [*ONE, record("busy_cycles", 2e6, "gelu", level="role"), record("vector_cycles", 5e5, "gelu", level="role")]
    rows += [record("busy_cycles", 3e6, "softmax", level="role"), record("vector_cycles", 1e6, "softmax", level="role")]
    assert vector_work(rows).rows == (
        ("a", "W4A4", "softmax", "3.000", "1.000", "10.0"),
        ("a", "W4A4", "gelu", "2.000", "0.500", "5.0"),
        ("a", "W4A4", "all work", "5.000", "1.500", "15.0"),
    )
    assert cycles_split(rows).rows == cycles_split(ONE).rows
    assert vector_work(ONE) is None


def test_cycles_node_by_node():
    rows = [*ONE, *split(3.0, 1.0, 0, 0, 0, 0, node="b.fc1", level="node", role="fc1")]
    rows += split(0, 0, 0, 0, 0, 12.0, node="b.norm", level="node", role="layernorm")
    rows += split(0, 0, 0, 0, 0, 0, node="b.view", level="node", role="view")
    assert node_cycles(rows).rows == (
        ("a", "W4A4", "b.fc1", "fc1", "4", "25.00", "75.0", "25.0", "0.0", "0.0", "0.0", "0.0"),
        ("a", "W4A4", "b.norm", "layernorm", "12", "75.00", "0.0", "0.0", "0.0", "0.0", "0.0", "100.0"),
    )
    assert node_cycles(ONE) is None


GAP = [
    *ONE,
    *steps("float32", 16, 12, 12, 12, 4, 3),
    *steps("int8", 4, 4, 4, 4, 4, 2),
    record("paper_speedup", 7.33, accelerator="", convention="bireal_ladder"),
    record("paper_speedup", 6.14, accelerator="", claim="6.14x", convention="qvit_table"),
    record("paper_speedup", 21.5, accelerator="", bits=2),
]


def test_from_paper_to_the_machine():
    assert speedup_gap(GAP).rows == (
        ("w", "a", "W4A4", "float32", "6.14x", "16.00x", "12.00x", "12.00x", "12.00x", "4.00x", "3.00x"),
        ("w", "a", "W4A4", "8 bits", "", "4.00x", "4.00x", "4.00x", "4.00x", "4.00x", "2.00x"),
    )
    (axes,) = drawn_gap(GAP).figure.axes
    over_float = [(0, 16), (0, 12), (12, 4), (0, 12), (0, 12), (0, 4), (4, 8), (0, 3), (3, 1)]
    assert bars(axes) == [(0, 6.14), *over_float, *[(0, 4)] * 5, (0, 2), (2, 2)]
    assert [text.get_text() for text in axes.texts][:3] == ["6.14x", "16.00x", "12.00x"]
    assert "counted operations by qvit_table." in speedup_gap(GAP).note
    assert "The float32 array has as many PEs, not as much silicon, which flatters float32" in speedup_gap(GAP).note
    assert [r.value for r in on_paper(GAP, next(iter(cases(GAP))))] == [6.14, 7.33]


def test_float_has_no_gap_and_one_baseline_will_do():
    assert drawn_gap(steps("float32", 1, 1, 1, 1, 1, 1, bits=32)) is None
    assert speedup_gap(steps("float32", 1, 1, 1, 1, 1, 1, bits=32)) is None
    (axes,) = drawn_gap(steps("int8", 2, 2, 2, 2, 2, 1)).figure.axes
    assert bars(axes) == [(0, 2)] * 5 + [(0, 1), (1, 1)]


def test_the_words_name_the_largest_part_and_the_largest_step():
    said = prose.accelerator([*GAP, record("latency", 20.0), record("fps", 50.0)])
    assert (said.title, len(said.paragraphs)) == ("Accelerator", 2)
    assert said.paragraphs[1] == (
        "w on a, W4A4: 10 M cycles, 20 ms, 50 frames/s. Useful work takes 60 % of the cycles; of the other parts, mapping"
        " loss takes most: 20 %, above all in qk. On paper it is 6.14x faster than in float. Over"
        " float32: useful work gives 16.00x, all cycles 3.00x; DRAM changes it most, from 12.00x to 4.00x. Over 8 bits:"
        " useful work gives 4.00x, all cycles 2.00x; vector unit changes it most, from 4.00x to 2.00x."
    )
    up = prose.accelerator([*ONE, *steps("float32", 1, 1, 1, 1, 6, 5), *steps("int8", 1, 1, 1, 1, 1, 1)]).paragraphs[1]
    assert up.endswith(
        " Over float32: useful work gives 1.00x, all cycles 5.00x; DRAM changes it most, from 1.00x to 6.00x."
        " Over 8 bits: useful work gives 1.00x, all cycles 1.00x."
    )
    assert prose.accelerator(split(1e6, 0, 0, 0, 0, 0)).paragraphs[1] == (
        "w on a, W4A4: 1 M cycles. Useful work takes 100 % of the cycles, no other part any."
    )
    assert prose.accelerator(GAP[-1:]) is None


def test_energy_under_each_table():
    rows = [*energy("t", 1, 2, 3, 4, 10), *energy("u", 1, 1, 1, 1, 1), *energy("u", 9, 0, 0, 0, 0, bits=8)]
    table = energy_tables([*rows, record("latency", 2.0)])
    assert table.rows == (
        ("a, W4A4", "t", "1", "2", "3", "4", "10", "20", "40"),
        ("a, W4A4", "u", "1", "1", "1", "1", "1", "5", "10"),
    )
    assert "4.0x (a, W4A4). Not shown here: W8A8." in table.note
    assert "lower bound" not in table.note + energy_spread(rows).caption
    absolute, share = energy_spread(rows).figure.axes
    assert absolute.get_title(loc="left") == "a, W4A4: 4.0x between energy tables"
    assert bars(absolute)[:5] == [(0, 1), (1, 2), (3, 3), (6, 4), (10, 10)]
    assert bars(share)[:5] == [(0, 5), (5, 10), (15, 15), (30, 20), (50, 50)]
    assert [text.get_text() for text in absolute.texts] == ["20 mJ", "5 mJ"]
    alone = energy_spread(rows[:6]).figure.axes[0]
    assert alone.get_title(loc="left") == "a, W4A4"


def test_leakage_that_a_source_does_not_give_is_not_zero():
    rows = [*energy("t", 1, 2, 3, 4, 0, leakage="none"), *energy("u", 1, 1, 1, 1, 1)]
    table = energy_tables(rows)
    assert [row[6] for row in table.rows] == ["-", "1"]
    assert table.right_aligned()[6]
    assert " -: the source of the table has no leakage, its total is then a lower bound." in table.note
    assert " No leakage in the source, a lower bound: t." in energy_spread(rows).caption


def test_groups_stand_under_the_roof_of_their_own_width():
    rows = [*ONE, record("macs", 4e9), record("intensity", 50.0), record("peak", 1024.0), record("bandwidth", 16.0)]
    rows += [record("macs", 4e9, "fc1"), record("intensity", 40.0, "fc1")]
    rows += [record("peak", 256.0, "fc1", a_bits=8, w_bits=8)]
    plot = roofline(rows)
    (axes,) = plot.figure.axes
    assert [text.get_text() for text in axes.texts][:2] == ["W4A4\n1,024", "W8A8\n256"]
    star, fc1, roof, lower, _ = axes.lines
    assert star.get_color() == roof.get_color() != fc1.get_color() == lower.get_color()
    assert lower.get_xydata().tolist()[0] == [16, 256]
    assert [text.get_text() for text in plot.figure.legends[0].get_texts()][:2] == ["W8A8", "W4A4"]
    assert "no DRAM traffic" not in [text.get_text() for text in axes.texts]


def test_groups_without_dram_traffic_stand_beside_the_axis():
    rows = [*ONE, record("macs", 4e9), record("intensity", 50.0)]
    rows += [record("macs", 1e9, "qk"), record("dram_bytes", 0.0, "qk")]
    plot = roofline(rows)
    (axes,) = plot.figure.axes
    assert "Right of the dotted line: groups without DRAM traffic." in plot.caption
    assert [text.get_text() for text in axes.texts] == ["no DRAM traffic"]
    _, qk, line = axes.lines
    at = axes.transAxes.inverted().transform(qk.get_transform().transform(qk.get_xydata()))[0][0]
    edge = axes.transAxes.inverted().transform(line.get_transform().transform(line.get_xydata()))[0][0]
    assert edge < at < 1
    assert qk.get_ydata()[0] == 500
    assert max(axes.get_xticks()) <= line.get_xdata()[0]


def test_of_a_pipeline_the_whole_stands_alone_under_the_roof():
    rows = [*ONE, *UNITS, record("macs", 4e9), record("intensity", 50.0)]
    rows += [record("macs", 4e9, "fc1"), record("intensity", 40.0, "fc1")]
    plot = roofline(rows)
    assert [line.get_xydata().tolist() for line in plot.figure.axes[0].lines] == [[[50, 400]]]
    assert " Of a, a pipeline, all layers alone: its units work at once." in plot.caption


def test_the_roofline():
    rows = [
        *ONE,
        record("macs", 4e9),
        record("intensity", 50.0),
        record("macs", 4e9, "fc1"),
        record("intensity", 40.0, "fc1"),
    ]
    rows += [record("macs", 1e9, "qk"), record("peak", 1024.0), record("bandwidth", 16.0)]
    (axes,) = roofline(rows).figure.axes
    drawn = [line.get_xydata().tolist() for line in axes.lines]
    assert drawn[:2] == [[[50, 400]], [[40, 500]]]
    assert drawn[2] == [[64, 1024], [256, 1024]]
    assert drawn[3] == [[16, 256], [64, 1024]]
    assert [text.get_text() for text in axes.texts] == ["W4A4\n1,024", "DRAM: 16 B per cycle"]
    assert roofline(ONE) is None
    equal = [record("cycles", 2.0, bits=b) for b in (8, 4)] + [record("macs", 4.0, bits=b) for b in (8, 4)]
    equal += [record("intensity", 1.0, bits=b) for b in (8, 4)] + [record("peak", 4.0, bits=b) for b in (8, 4)]
    assert [text.get_text() for text in roofline(equal).figure.axes[0].texts] == ["W8A8\nW4A4\n4.0"]


def test_macs_on_an_accelerator_are_not_counted_again():
    macs = [record("macs", 5, accelerator=""), record("macs", 5, "fc1", accelerator="")]
    more = [record("macs", 40, bits=8), record("macs", 40, "blocks.0.mlp.fc1", level="node"), record("macs", 40, "fc1")]
    assert macs_by_group([*more, *macs]) == {"w": {"fc1": 5}}
    assert costs([*more, *macs]).rows == (("w", "W4A4", "5"),)


def test_bits_that_are_no_integers_are_refused():
    with pytest.raises(BadFile) as caught:
        estimates([record("cycles", 1, bits="wide")])
    text = (
        "record w/cycles: tags wbits and abits must be integers, got ('wide', 'wide'); write the records again with"
        " `hwsim reproduce`"
    )
    assert str(caught.value) == text


def test_bits_of_each_layer_are_called_mixed():
    table = estimates([record("cycles", 1, bits="mixed")])
    assert table is not None
    assert "mixed" in table.rows[0]
