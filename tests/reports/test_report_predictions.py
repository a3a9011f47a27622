"""The table and the figure of published accelerators: ratios, bands and what is not predicted."""

import pytest

from hwsim.errors import BadFile
from hwsim.record import Record
from reports.figures.published_agreement import published_agreement as drawn
from reports.predictions import predictions
from reports.tables.published_agreement import published_agreement


def figure(published, ours=None, quantity="frame rate", source="One (arXiv 1)", **more):
    """The records of a published figure and of what we make of it."""
    tags = {"quantity": quantity, "unit": "frames/s", "wbits": "4", "abits": "4"}
    said = {**tags, "status": "printed", "source": source, **more}
    rows = [Record("w", "published", published, "frames/s", "", "a", tags=tuple(said.items()))]
    return rows + (
        [] if ours is None else [Record("w", "predicted", ours, "frames/s", "", "a", tags=tuple(tags.items()))]
    )


ROWS = [
    *figure(100.0, 101.0, band_low="0.98", band_high="1.02", note="why one."),
    *figure(57624.0, 115248.0, "interval", "Two", band_high="1.02", note="why two"),
    *figure(10.0, 12.0, "clock", status="recalled", note="why one."),
    *figure(7.0, None, "power", "Two"),
    *figure(4.0, 2.0, "latency", "Two", band_low="0.5"),
]


@pytest.mark.parametrize(
    ("low", "high", "ours", "verdict"),
    [
        ("0.5", "2", 4.0, "inside"),
        ("0.5", "2", 8.0, "inside"),
        ("0.5", "2", 8.1, "outside"),
        ("0.5", "2", 1.9, "outside"),
        ("1", "", 400.0, "inside"),
        ("", "1", 4.1, "outside"),
        ("", "", 4.1, "no band"),
        ("1", "1", None, "not predicted"),
    ],
)
def test_verdicts(low, high, ours, verdict):
    (found,) = predictions(figure(4.0, ours, band_low=low, band_high=high))
    assert found.verdict == verdict
    assert found.ratio == (None if ours is None else ours / 4)


def test_a_prediction_belongs_to_its_accelerator_bits_and_quantity():
    others = [
        Record("w", "predicted", 9.0, "", "", "b", tags=ROWS[1].tags),
        Record("v", "predicted", 9.0, "", "", "a", tags=ROWS[1].tags),
        Record("w", "predicted", 9.0, "", "", "a", tags=tuple({**dict(ROWS[1].tags), "wbits": "8"}.items())),
    ]
    assert [p.ours for p in predictions([ROWS[0], *others])] == [None]
    tagged = [Record("w", r.metric, r.value, "", "", "", tags=(*r.tags, ("accelerator", "c"))) for r in ROWS[:2]]
    assert [(p.accelerator, p.ours) for p in predictions(tagged)] == [("c", 101.0)]


def test_the_table_hides_nothing():
    table = published_agreement(ROWS)
    assert [" | ".join(row) for row in table.rows] == [
        "One | a | w frame rate, frames/s | 100 | 101 | 1.010 | 0.98 to 1.02 | inside | printed | 1",
        "One | a | w clock, frames/s | 10 | 12 | 1.200 |  | no band | recalled | 1",
        "Two | a | w interval, frames/s | 57,624 | 115,248 | 2.000 | up to 1.02 | outside | printed | 2",
        "Two | a | w power, frames/s | 7 |  |  |  | not predicted | printed | ",
        "Two | a | w latency, frames/s | 4 | 2 | 0.500 | from 0.5 | inside | printed | ",
    ]
    assert table.note.startswith("5 figures: 2 inside, 1 no band, 1 outside, 1 not predicted.")
    assert table.note.endswith("Notes: (1) why one. (2) why two.")
    assert published_agreement(ROWS[5:6] + ROWS[6:7]).note.endswith("Notes: none.")


def test_the_dots_are_the_ratios_and_the_bands_are_drawn():
    made = drawn(ROWS)
    (axes,) = made.figure.axes
    dots = [float(line.get_xdata()[0]) for line in axes.lines if line.get_linestyle() == "None"]
    assert dots == [1.01, 1.2, 2.0, 0.5]
    left, right = axes.get_xlim()
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert edges == [pytest.approx(edge) for edge in ((0.98, 1.02), (left, 1.02), (0.5, right))]
    assert [text.get_text() for text in axes.texts] == ["1.010", "1.200", "2.000", "0.500"]
    assert "Not drawn: 1 that" in made.caption
    assert drawn([r for r in ROWS if r.metric == "published"]) is None


def test_a_band_that_is_no_number_is_refused():
    with pytest.raises(BadFile) as caught:
        predictions(figure(1.0, 1.0, band_low="half"))
    text = "tag band_low: must be a number, got 'half'; write the records again with `hwsim reproduce`"
    assert str(caught.value) == text
