"""Published figures of accelerators beside what the model gives for them; errors are not hidden."""

from collections.abc import Mapping, Sequence

from hwsim.record import Record
from reports.predictions import Prediction, predictions
from reports.rows import label
from reports.table import Table, filled
from reports.verdicts import short_source

_HEADS = ("Source", "Accelerator", "Figure", "Published", "Ours", "Ratio", "Band", "Verdict", "Status", "Note")


def published_agreement(records: Sequence[Record]) -> Table | None:
    """One row per published figure, source by source; None where there is none."""
    found = predictions(records)
    if not found:
        return None
    notes = dict.fromkeys(p.record.tag("note") for p in found if p.record.tag("note"))
    numbers = {note: index for index, note in enumerate(notes, 1)}
    counts = {verdict: sum(p.verdict == verdict for p in found) for verdict in dict.fromkeys(p.verdict for p in found)}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    note = (
        f"{len(found)} figures: {said}. Ratio: ours over the published figure. Band: where the ratio should lie. Status: the"
        " published figure is printed in its source, recalled, or inferred from what is printed. Notes: "
        + (" ".join(f"({index}) {text}." for text, index in numbers.items()).replace("..", ".") or "none.")
    )
    lines = [_row(p, numbers, records) for p in found]
    return filled("Published accelerators and ours", _HEADS, lines, lambda _: note, place=80, first=True)


def _row(p: Prediction, numbers: Mapping[str, int], records: Sequence[Record]) -> tuple[str, ...]:
    r = p.record
    quantity = ", ".join(word for word in (r.tag("quantity"), r.tag("unit") or r.unit) if word)
    return (
        short_source(r),
        p.accelerator,
        f"{label(r.workload, records)} {quantity}".strip(),
        _number(p.published),
        "" if p.ours is None else _number(p.ours),
        "" if p.ratio is None else f"{p.ratio:.3f}",
        _band(p),
        p.verdict,
        r.tag("status"),
        str(numbers[r.tag("note")]) if r.tag("note") else "",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _band(p: Prediction) -> str:
    if p.low is None:
        return "" if p.high is None else f"up to {p.high:g}"
    return f"from {p.low:g}" if p.high is None else f"{p.low:g} to {p.high:g}"
