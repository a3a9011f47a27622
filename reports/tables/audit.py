"""The readings of a published figure: by which conventions it comes out, the most plausible first, and what was tried."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import bits, bits_label, number, select
from reports.table import Table, filled

_NOTES = {
    "#": "#: the place among all kinds, by plausibility.",
    "near": "Near: does not give the figure, but comes nearest of those un-rounded that count both sides alike.",
    "Entries, G": "Entries: full precision / quantized, un-rounded ones with four decimals.",
    "Sides": "Sides: same, both entries count the same work; differ, one counts work that the other leaves out, which is"
    " less plausible than all that count alike.",
    "Points": "Points: 1 for each default of the rule that is changed, 1 or 2 for rounding and for a rule that is not"
    " printed, 1 for another model; the fewer, the more plausible.",
    "Counting rule": "Counting rule: the convention, and what is changed of it. Also: rules that come to the same if other"
    " options are changed. Like it: they differ in the ends or in FLOPs per MAC alone. Fitted, inferred: no author states"
    " the rule. That the figure was counted so is our inference in every row.",
    "Elementwise work, M": "Elementwise work: how much of it in the quantized entry gives the figure, in how many of the"
    " weightings tried (ways), and of these the operations per element nearest the rule's own.",
}
_ROUNDED = {"rounded": "half up", "truncated": "truncated", "un-rounded": "no"}
_COLUMNS = (
    "Figure",
    "#",
    "Gives",
    "Entries, G",
    "Rounded",
    "Model",
    "Sides",
    "Points",
    "Counting rule",
    "Elementwise work, M",
)


def audit(records: Sequence[Record]) -> Table | None:
    """One row per kind of reading; None where no figure was audited."""
    searched = select(records, "audit_searched")
    if not searched:
        return None
    rows = [row for of in searched for row in _rows(records, of)]
    title = _verdict(records, searched[0]) if len(searched) == 1 else "Readings of published figures"
    said = [_said(records, of) for of in searched]
    nearest = ("near",) if any(row[1] == "near" for row in rows) else ()

    def note(heads: Sequence[str]) -> str:
        return " ".join((*said, *(text for word, text in _NOTES.items() if word in (*heads, *nearest))))

    return filled(title, _COLUMNS, rows, note, 15, len(searched) > 1)


def _rows(records: Sequence[Record], searched: Record) -> list[tuple[str, ...]]:
    """A row per reading, and the nearest of those that count alike, un-rounded, where none of them gives the figure."""
    rows = [_row(reading) for reading in select(records, "audit_reading", **_key(searched))]
    if not _count(records, searched, "consistent_hits"):
        rows += [_row(reading) for reading in select(records, "audit_nearest", **_key(searched))]
    return rows or [(_figure(searched), "", "no reading", *[""] * (len(_COLUMNS) - 3))]


def _row(record: Record) -> tuple[str, ...]:
    ratio = record.unit == "x"
    known = f"{record.tag('known')}: " if record.tag("known") else ""
    status = f" ({record.tag('status')})" if record.tag("status") not in ("printed", "") else ""
    also = f"; also {record.tag('also')}" if record.tag("also") else ""
    more = f"; {record.tag('others')} like it" if record.tag("others") not in ("", "0") else ""
    return (
        _figure(record),
        record.tag("place", "near"),
        _value(record),
        f"{record.tag('full_precision')} / {record.tag('quantized')}" if ratio else "",
        _ROUNDED.get(record.tag("rounding").partition(" ")[0], ""),
        record.tag("of"),
        record.tag("sides") if ratio else "",
        record.tag("points"),
        f"{known}{record.tag('convention')}{status}{also}{more}",
        _work(record),
    )


def _work(record: Record) -> str:
    """`66.5-70.2, 5 ways: layernorm 4, softmax 5`, what elementwise work counts and how; "" of a rule that knows none."""
    if record.tag("work") in ("", "0.0") and record.tag("weights") in ("", "none"):
        return record.tag("weights")
    ways = record.tag("weightings")
    return f"{record.tag('work')}, {ways} way{'s' * (ways != '1')}: {record.tag('weights')}"


def _verdict(records: Sequence[Record], searched: Record) -> str:
    """Whether the figure comes out at all, and whether by counting alike on both sides, un-rounded."""
    hits, alike_hits = (_count(records, searched, name) for name in ("hits", "consistent_hits"))
    if not hits:
        return f"{_figure(searched)}: no convention of the grid gives it"
    return f"{_figure(searched)}: " + (
        "what gives it" if alike_hits else "no self-consistent convention gives it un-rounded; what else does"
    )


def _said(records: Sequence[Record], searched: Record) -> str:
    """What came of the search for one figure, in a sentence or two."""
    names = ("searched", "hits", "families", "consistent", "consistent_hits")
    tried, hits, kinds, alike, alike_hits = (_count(records, searched, name) for name in names)
    kind = "self-consistent and un-rounded" if searched.tag("figure").endswith("x") else "un-rounded"
    of = f"of the {alike:,} that are {kind}"
    found = f"{alike_hits:,} {of} do" if alike_hits else f"none {of} does{_near(records, searched)}"
    skipped = {r.node: int(number(r)) for r in select(records, "audit_skipped", **_key(searched))}
    left = ", ".join(f"{count:,} of {rule}" for rule, count in skipped.items())
    return (
        f"{_figure(searched)}: of {tried:,} combinations tried, {hits:,} give it (kinds of readings: {kinds:,}); {found}."
        + (f" Not tried, as the rule does not define them: {left}." if left else "")
    )


def _near(records: Sequence[Record], searched: Record) -> str:
    for nearest in select(records, "audit_nearest", **_key(searched)):
        return f", the nearest gives {_value(nearest)}"
    return ""


def _count(records: Sequence[Record], searched: Record, name: str) -> int:
    return sum(int(number(r)) for r in select(records, f"audit_{name}", **_key(searched)))


def _figure(record: Record) -> str:
    return f"{record.tag('figure')}, {record.tag('label')} {bits_label(bits(record))}"


def _value(record: Record) -> str:
    return f"{number(record):.4f}x" if record.unit == "x" else f"{number(record):.5g} {record.unit}"


def _key(record: Record) -> dict[str, str]:
    """The tags that tell the records of one search from those of another."""
    return {key: record.tag(key) for key in ("figure", "label", "wbits", "abits")}
