"""The table, the notes and the figure of claims."""

from hwsim.record import Record
from reports import prose, verdicts
from reports.figures.claims import claims as figure
from reports.tables.claims import claims as table
from reports.tables.notes import notes


def _claim(source: str, printed: str, ours: float, verdict: str, note: str = "", wbits: str = "4") -> Record:
    tags = {
        "source": source,
        "model": "DeiT-S",
        "wbits": wbits,
        "abits": wbits,
        "metric": "flops_reduction",
        "printed": printed,
        "verdict": verdict,
        "convention": "rule b=1",
        "note": note,
    }
    return Record("m", "claim", ours, "x", source="fitted", tags=tuple(tags.items()))


CLAIMS = (
    _claim("One (arXiv 1) abstract", "6.14", 43 / 7, "within rounding", "why one"),
    _claim("Two", "34", 34.7144192, "truncated"),
    _claim("One (arXiv 1) abstract", "about 21", 22.0, "off", "why two", wbits="2"),
    _claim("Two", "50", 50, "undecided", "why one", wbits="mixed"),
)


def test_rows_stand_source_by_source() -> None:
    made = table(CLAIMS)
    assert made is not None
    assert [" | ".join(row) for row in made.rows] == [
        "One abstract | DeiT-S W4A4 FLOPs reduction | 6.14 x | 6.1429 | +0.05 % | ≈ within rounding | rule b=1 | fitted | 1",
        "One abstract | DeiT-S W2A2 FLOPs reduction | about 21 x | 22 | +4.76 % | ✗ off | rule b=1 | fitted | 2",
        "Two | DeiT-S W4A4 FLOPs reduction | 34 x | 34.71 | +2.10 % | ⌊ truncated | rule b=1 | fitted | ",
        "Two | DeiT-S mixed FLOPs reduction | 50 x |  |  | ? undecided |  |  | 1",
    ]
    assert made.group_ends() == (False, True, False, True)


def test_a_note_is_told_once() -> None:
    made = notes(CLAIMS)
    assert made is not None
    assert made.rows == (
        ("1", "One abstract: DeiT-S W4A4 FLOPs reduction and 1 more", "why one"),
        ("2", "One abstract: DeiT-S W2A2 FLOPs reduction", "why two"),
    )


def test_verdicts_are_counted_where_the_report_begins() -> None:
    said = "4 published figures: 1 within rounding, 1 truncated, 1 off, 1 undecided."
    assert verdicts.summary(CLAIMS) == said
    assert prose.findings(CLAIMS) == (said,)
    assert verdicts.summary(()) == ""


def test_the_figure_has_a_dot_per_decided_figure() -> None:
    made = figure(CLAIMS)
    assert made is not None
    (axes,) = made.figure.axes
    dots = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert sorted(round(float(dot.get_xdata()[0]), 2) for dot in dots) == [0.05, 2.1, 4.76]  # type: ignore[index,arg-type]
    assert {text.get_text() for text in axes.texts} == {"One abstract", "Two", "1 of 2", "1 of 1", "2"}
    assert "0 that take a measurement, 1 undecided" in made.caption


def test_what_is_undecided_is_not_drawn() -> None:
    assert figure(CLAIMS[3:]) is None
