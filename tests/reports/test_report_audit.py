from hwsim.record import Record
from reports.figures.convention_sensitivity import convention_sensitivity
from reports.rows import select
from reports.tables.audit import audit


def only(records, figure):
    return tuple(r for r in records if not r.metric.startswith("audit_") or r.tag("figure") == figure)


def test_readings_with_the_nearest_behind_them(records):
    table = audit(only(records, "6.14x"))
    assert table.title == ("6.14x, DeiT-S W4A4: no self-consistent convention gives it un-rounded; what else does")
    places = [row[0] for row in table.rows]
    assert places == ["7", "11", "near"]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["Gives"], row["Entries, G"], row["Rounded"]) == ("6.1429x", "4.3 / 0.7", "half up")
    assert (row["Model"], row["Sides"], row["Points"]) == ("DeiT-S-dist", "differ", "4")
    assert row["Counting rule"] == "R1b: qvit_table (inferred); also linear_bits; 3 like it"
    assert row["Elementwise work, M"] == "20.8-70.2, 428 ways: layernorm 4, softmax 4"
    assert table.note.startswith(
        "6.14x, DeiT-S W4A4: of 12,345 combinations tried, 1,001 give it (kinds of readings: 1); none of the 6,789 that "
        "are self-consistent and un-rounded does, the nearest gives 6.2943x. Not tried, as the rule does not define "
        "them: 72 of xnor_conv. "
    )


def test_no_reading_is_said_plainly(records):
    table = audit(only(records, "500x"))
    assert table.title == "500x, DeiT-S W4A4: no convention of the grid gives it"
    assert [row[:2] for row in table.rows] == [("near", "6.2943x")]


def test_several_figures_stand_in_one_table(records):
    table = audit(records)
    assert table.columns[0] == "Figure"
    assert {row[0] for row in table.rows} == {"6.14x, DeiT-S W4A4", "500x, DeiT-S W4A4"}


def test_a_single_entry_has_no_sides():
    tags = (("figure", "22.0 MB"), ("label", "DeiT-S"), ("wbits", "8"), ("abits", "8"))
    counts = [
        Record("deit", f"audit_{n}", 1, "", tags=tags) for n in ("searched", "hits", "families", "consistent_hits")
    ]
    said = (
        *tags,
        ("place", "1"),
        ("of", "DeiT-S"),
        ("sides", "same"),
        ("convention", "size_simple"),
        ("quantized", "22.0"),
    )
    table = audit((*counts, Record("deit", "audit_reading", 22.0, "MB", tags=said)))
    assert table.columns == ("#", "Gives", "Model", "Counting rule")
    assert table.title == "22.0 MB, DeiT-S W8A8: what gives it"
    assert "self-consistent" not in table.note


def test_what_hardly_moves_the_speedup_is_named_not_drawn(records):
    plot = convention_sensitivity(records)
    assert plot.title == "What a speedup of DeiT-S W4A4 depends on"
    assert "Options that hardly move it are left out: form of the model." in plot.caption
    upper, lower = plot.figure.axes
    assert [label.get_text() for label in lower.get_yticklabels()] == [
        "width of attention products",
        "where attention products count",
        "operations per element: GELU",
    ]
    assert [label.get_text() for label in upper.get_yticklabels()] == ["qvit_table", "bireal_ladder", "bitops_wa"]


def test_other_models_do_not_join_the_first(records):
    others = [
        Record("other", r.metric, 99.0, r.unit, r.node, source=r.source, tags=r.tags)
        for r in select(records, "speedup_sensitivity")
    ]
    assert convention_sensitivity((*records, *others)).figure.axes[1].get_xlim()[1] < 20


def test_without_a_claim_there_is_no_line_of_it(records):
    rows = [
        Record(r.workload, r.metric, r.value, r.unit, r.node, tags=tuple(t for t in r.tags if t[0] != "printed"))
        for r in select(records, "speedup_sensitivity")
    ]
    legend = convention_sensitivity(rows).figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        "bireal_ladder: 7.33x",
        "counts some work on one side alone",
    ]
