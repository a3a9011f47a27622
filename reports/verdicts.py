"""What the table and the figure of claims share: the marks of verdicts, how a claim is called, how far off ours is."""

import re
from collections.abc import Sequence

from hwsim.record import Record
from reports.ratios import claimed
from reports.rows import number, select

MARKS = {
    "exact": "=",
    "within rounding": "≈",
    "truncated": "⌊",
    "off": "✗",
    "measurement": "…",
    "undecided": "?",
}
"""Each verdict with its mark."""

_BRACKETS = re.compile(r" \([^)]*\)")


def short_source(record: Record) -> str:
    """The source without what stands in brackets: `Q-ViT abstract`."""
    return _BRACKETS.sub("", record.tag("source"))


def figure_of(record: Record) -> str:
    """`DeiT-S W4A4 theoretical speedup`: model, widths or the word for them where they are named, metric."""
    widths = (record.tag("wbits"), record.tag("abits"))
    at = widths[0]
    if widths == ("32", "32"):
        at = "float"
    elif widths[0].isdigit():
        at = f"W{widths[0]}" + (f"A{widths[1]}" if widths[1] else "")
    return " ".join(word for word in (record.tag("model"), at, metric_of(record)) if word)


def metric_of(record: Record) -> str:
    """The metric in words: `theoretical speedup`."""
    return record.tag("metric").replace("_", " ").replace("flops", "FLOPs")


def error(record: Record) -> float:
    """Ours over the printed figure, less 1."""
    mark = claimed(record)
    return number(record) / mark - 1 if mark else 0.0


def ordered(records: Sequence[Record]) -> tuple[Record, ...]:
    """The records of claims, source by source, in the order in which each source first appears."""
    rows = select(records, "claim")
    places = {source: index for index, source in enumerate(dict.fromkeys(map(short_source, rows)))}
    return tuple(sorted(rows, key=lambda r: places[short_source(r)]))


def notes(records: Sequence[Record]) -> dict[str, int]:
    """The notes on the claims, each once, numbered in the order of the claims."""
    found = dict.fromkeys(r.tag("note") for r in ordered(records) if r.tag("note"))
    return {note: index for index, note in enumerate(found, 1)}


def tally_of(records: Sequence[Record]) -> dict[str, int]:
    """How many claims there are of each verdict, in the order of MARKS."""
    rows = select(records, "claim")
    return {name: sum(r.tag("verdict") == name for r in rows) for name in MARKS}


def summary(records: Sequence[Record]) -> str:
    """One sentence that counts the verdicts, "" where there are no claims."""
    found = tally_of(records)
    if not sum(found.values()):
        return ""
    words = {
        "exact": "exact",
        "within rounding": "within rounding",
        "truncated": "truncated",
        "off": "off",
        "measurement": "in need of a measurement",
        "undecided": "undecided",
    }
    said = ", ".join(f"{found[name]} {words[name]}" for name in words if found[name])
    return f"{sum(found.values())} published figures: {said}."
