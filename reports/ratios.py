"""What the two figures of claimed ratios share: which reading is the documented rule, and what the paper claims."""

import re
from collections.abc import Iterable

from hwsim.record import Record
from reports.rows import bits

_FIGURE = re.compile(r"\d+(\.\d+)?")


RATIOS = ("theoretical_speedup", "flops_reduction")


def distinct(records: Iterable[Record]) -> tuple[Record, ...]:
    """One record per model, bits and convention: speedup and FLOPs reduction are one ratio, asked for by two claims."""
    first: dict[tuple[str, tuple[int, int], str], Record] = {}
    for record in records:
        first.setdefault((record.workload, bits(record), record.tag("convention")), record)
    return tuple(first.values())


def documented(record: Record) -> bool:
    """Whether the reading is a rule that the authors print, rather than one inferred from their figures."""
    return record.source != "inferred"


def readings(records: Iterable[Record]) -> tuple[str, ...]:
    """The conventions of `records`, documented ones first."""
    found = dict.fromkeys((not documented(r), r.tag("convention")) for r in records)
    return tuple(dict.fromkeys(convention for _, convention in sorted(found, key=lambda pair: pair[0])))


def claimed(record: Record) -> float | None:
    """The figure that the claim of `record` prints, where there is one: `about 21` is 21."""
    found = _FIGURE.search(record.tag("printed"))
    return float(found.group()) if found else None


def reading_label(convention: str, records: Iterable[Record]) -> str:
    """The convention with its standing, for a legend."""
    standing = "documented" if any(documented(r) and r.tag("convention") == convention for r in records) else "inferred"
    return f"{convention or 'unnamed'} ({standing})"
