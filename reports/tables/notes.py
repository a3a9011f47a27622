"""The notes on published figures: why one is off, or what it would take to decide it."""

from collections.abc import Sequence

from hwsim.record import Record
from reports import verdicts
from reports.rows import number
from reports.table import Table


def notes(records: Sequence[Record]) -> Table | None:
    """One row per note, in the order of the claims; None where there are none."""
    numbers = verdicts.notes(records)
    if not numbers:
        return None
    rows = []
    for note, index in numbers.items():
        of = [r for r in verdicts.ordered(records) if r.tag("note") == note and (number(r) or True)]
        first = f"{verdicts.short_source(of[0])}: {verdicts.figure_of(of[0])}"
        rows.append((str(index), first + (f" and {len(of) - 1} more" if len(of) > 1 else ""), note))
    return Table("Notes on these figures", ("Note", "Of", "Why"), tuple(rows), place=21)
