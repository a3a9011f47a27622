"""The tables of comparisons: one column or block per comparison, whatever it compared, and nothing that was not seen."""

import pytest

from hwsim.record import Record
from reports.figures.accuracy_against_bits import accuracy_against_bits
from reports.rows import nats, trials
from reports.tables.accumulators import accumulators
from reports.tables.agreement import agreement
from reports.tables.nodes import nodes

MIXED = (("form", "mixed"),)
INTEGER = (("form", "integer"), ("recipe", "lut"))
WHAT_IF = (*MIXED, ("what_if", "16-bit accumulators, wrap"))


def comparison(tags, differ=3, compared=1000, **more):
    """Records of one comparison of two nodes."""
    rows = [Record("w", metric, value, "", tags=tags) for metric, value in more.items()]
    rows += [
        Record("w", "accuracy_integer", 0.75, "fraction", tags=tags),
        Record("w", "images", 40, "image", tags=tags),
        Record("w", "kl_divergence", 0.0012345, "nat", tags=tags),
        Record("w", "quantizers", 2, "node", tags=tags),
        Record("w", "quantizers_compared", 2 if compared else 0, "node", tags=tags),
    ]
    both = (*tags, ("mode", "free_running"), ("dtype", "float64"))
    rows += [
        Record("w", "codes_compared", compared, "code", tags=both),
        Record("w", "codes_mismatched", differ, "code", tags=both),
        Record("w", "first_diverging_node", "b" if differ else "", "node", tags=both),
    ]
    for node, count in (("a", 0), ("b", differ)):
        rows += [
            Record("w", "node_codes_compared", compared // 2, "code", node, tags=both),
            Record("w", "node_codes_mismatched", count, "code", node, tags=both),
            Record("w", "node_largest_step", min(count, 2), "step", node, tags=both),
            Record("w", "node_cosine", 0.9876543, "", node, tags=tags),
            Record("w", "node_saturation", 0.01234, "fraction", node, tags=tags),
        ]
        rows += [Record("w", "node_sqnr", 12.34, "dB", node, tags=tags)] if count else []
    return rows


def product(tags, **counts):
    return [Record("w", f"node_accumulator_{key}", value, "", "p", tags=tags) for key, value in counts.items()]


def column(table, index=1):
    return {row[0]: row[index] for row in table.rows}


def test_comparisons_are_told_apart_by_form_recipe_and_what_if():
    rows = [*comparison(MIXED), *comparison(INTEGER), *comparison(WHAT_IF), Record("w", "images", 3, "", tags=())]
    assert list(trials(rows)) == ["w", "w, integer, lut", "w, 16-bit accumulators, wrap"]
    assert trials(rows)["w"][-1].value == 3  # records of before there were forms are of the mixed one
    assert agreement(rows).columns == ("", *trials(rows))


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (("residual_bits", "8"), ", 8-bit residual"),
        (("rounding", "floor"), ", floor rounding"),
        (("rounding", "half_even"), ""),
        (("calibration_images", "16"), ", scales from 16 images"),
        (("calibration_images", "64"), ""),
        (("split", "train"), ", train images"),
    ],
)
def test_settings_set_comparisons_apart(tag, words):
    assert list(trials(comparison((*INTEGER, tag)))) == [f"w, integer, lut{words}"]


def test_what_a_comparison_shows():
    shown = column(agreement(comparison(INTEGER, accuracy_mixed=0.8)))
    assert shown == {
        "Images": "40",
        "Accuracy, mixed form": "80.00 %",
        "Accuracy, integers": "75.00 %",
        "KL divergence from fake quant": "0.00123 nat",
        "Quantizers whose codes are compared": "2 of 2",
        "Codes that differ, free running, float64": "3 of 1,000",
        "First node that differs, free running, float64": "b",
    }


def test_a_what_if_is_shown_beside_the_graph_as_it_is():
    shown = column(agreement(comparison(WHAT_IF, accuracy_exact=0.9)))
    assert shown["Accuracy, integers, without the what-if"] == "90.00 %"
    assert shown["Accuracy, integers"] == "75.00 %"


def test_where_no_code_can_be_compared_nothing_is_said_to_be_equal():
    shown = column(agreement(comparison(INTEGER, differ=0, compared=0)))
    assert not any("differ" in words for words in shown)
    assert column(agreement(comparison(MIXED, differ=0)))["First node that differs, free running, float64"] == "none"


def test_the_note_explains_the_rows_that_are_shown_and_no_others():
    note = agreement(comparison(MIXED)).note
    assert "Free running" in note
    assert "Node by node" not in note
    assert "float32" not in note
    assert agreement(comparison(INTEGER, differ=0, compared=0)).note == ""
    both = (*MIXED, ("mode", "node_by_node"), ("dtype", "float32"))
    more = [Record("w", metric, 5, "code", tags=both) for metric in ("codes_compared", "codes_mismatched")]
    note = agreement([*comparison(MIXED), *more]).note
    assert note.startswith("Node by node: ")
    assert note.endswith("float32 rounds differently now and then and is shown beside it.")


def test_the_accuracies_of_the_figure_are_those_of_the_mixed_form():
    bits = (("wbits", "4"), ("abits", "4"))
    others = [*comparison((*bits, *INTEGER)), *comparison((*bits, *WHAT_IF))]
    others += comparison((*bits, *MIXED, ("split", "train")))
    assert accuracy_against_bits(others) is None
    alone = accuracy_against_bits(comparison((*bits, *MIXED)))
    assert [
        len(line.get_xdata()) for line in accuracy_against_bits([*others, *comparison(bits)]).figure.axes[0].lines
    ] == [len(line.get_xdata()) for line in alone.figure.axes[0].lines]


@pytest.mark.parametrize(
    ("value", "text"), [(2e-17, "below 1e-12 nat"), (0.0, "below 1e-12 nat"), (1e-12, "1e-12 nat"), (0.25, "0.25 nat")]
)
def test_divergences_that_are_rounding_errors(value, text):
    assert nats(value) == text


def test_nodes_leave_out_what_was_not_seen():
    table = nodes(comparison(MIXED))
    assert table.columns == ("Node", "Differ free running", "Largest step", "Cosine", "SQNR", "Clamped")
    assert table.rows == (
        ("a", "0", "0", "0.987654", "", "1.234 %"),
        ("b", "3", "2", "0.987654", "12.3 dB", "1.234 %"),
    )
    assert "SQNR" in table.note
    assert "Flips" not in table.note
    assert "SQNR" not in nodes(comparison(MIXED, differ=0)).note


def test_nodes_of_several_comparisons_and_flipped_ones():
    flipped = Record("w", "node_flips", 1234, "bit", "p", tags=WHAT_IF)
    table = nodes([*comparison(MIXED), *comparison(WHAT_IF), flipped])
    assert table.columns[0] == "Comparison"
    assert table.columns[-1] == "Flips"
    assert [row[:2] for row in table.rows] == [
        ("w", "a"),
        ("w", "b"),
        ("w, 16-bit accumulators, wrap", "a"),
        ("w, 16-bit accumulators, wrap", "b"),
        ("w, 16-bit accumulators, wrap", "p"),
    ]
    assert [row[-1] for row in table.rows] == ["", "", "", "", "1,234"]


def test_accumulators():
    table = accumulators(product(MIXED, bits_proven=20, bits_weights=18, bits_seen=15))
    assert table.columns == ("Product", "Any operands", "Any activations", "Seen")
    assert table.rows == (("p", "20", "18", "15"),)
    assert "Seen: " in table.note
    assert "Overflowed" not in table.note


def test_overflows():
    rows = product(WHAT_IF, bits_proven=20, bits_weights=18, overflowed=7, outputs=4000, narrowings=9)
    table = accumulators([*rows, Record("w", "accumulator_overflowed", 7, "", tags=WHAT_IF)])
    assert table.columns == ("Product", "Any operands", "Any activations", "Overflowed outputs")
    assert table.rows == (("p", "20", "18", "7 of 4,000"),)
    assert "Overflowed outputs: " in table.note
    assert "Seen" not in table.note
