"""Published figures beside ours: how far apart, what that means, by which rule, and who says so."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from hwsim.record import Record
from reports.rows import number
from reports.table import Table
from reports.verdicts import MARKS, error, figure_of, notes, ordered, short_source

_OPEN = ("measurement", "undecided")


def claims(records: Sequence[Record]) -> Table | None:
    """One row per claim, source by source; None where no claim was decided."""
    rows = ordered(records)
    if not rows:
        return None
    numbers = notes(records)
    return Table(
        "Published figures and ours",
        ("Source", "Figure", "Printed", "Ours", "Error", "Verdict", "Rule", "Status", "Note"),
        tuple(_row(r, numbers) for r in rows),
        f"Verdict: {MARKS['exact']} ours is the printed figure; {MARKS['within rounding']} ours, rounded to the printed"
        f" decimals, is; {MARKS['truncated']} ours with the rest of its digits dropped is; {MARKS['off']} none of these;"
        f" {MARKS['measurement']} takes a run or hardware; {MARKS['undecided']} what decides it is not published. Rule: a"
        " convention with its options, or arithmetic of printed numbers. Status: its authors print the rule, or we fitted"
        " or inferred it. Note: see the notes on these figures.",
        place=20,
    )


def _row(record: Record, numbers: dict[str, int]) -> tuple[str, ...]:
    verdict, note = record.tag("verdict"), record.tag("note")
    value = number(record)
    decided = verdict not in _OPEN
    return (
        short_source(record),
        figure_of(record),
        f"{record.tag('printed')} {record.unit}",
        _like(value, record.tag("printed")) if decided else "",
        f"{100 * error(record):+.2f} %".replace("-0.00", "+0.00") if decided else "",
        f"{MARKS.get(verdict, '')} {verdict}",
        (record.tag("convention") or "a count") if decided else "",
        record.source if decided else "",
        str(numbers[note]) if note else "",
    )


def _like(value: float, printed: str) -> str:
    """`value` with two decimals more than `printed` has, without zeros at their end."""
    decimals = len(printed.partition(".")[2]) + 2
    text = f"{Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP):f}"
    return text.rstrip("0").rstrip(".")
