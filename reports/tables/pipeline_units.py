"""The units of a pipeline, slowest first: images follow each other at the pace of the slowest."""

from collections.abc import Iterator, Sequence

from hwsim.record import Record
from reports.estimates import Case, arranged, cases, elsewhere, shown, value
from reports.rows import bits_label, label, number
from reports.table import Table, filled

_WAITS = 1.001
"""An interval this many times as long as the slowest unit takes is not set by it."""


def pipeline_units(records: Sequence[Record]) -> Table | None:
    """One row per pipeline, bit width and unit of the first workload; None where there is no pipeline."""
    every = cases(records, "unit")
    found = {case: _slowest_first(rows) for case, rows in shown(every).items()}
    if not found:
        return None
    totals = cases(records)
    drawn = [case for line in arranged(found) for case in line if case]
    intervals = {case: _interval(case, found[case], totals.get(case, ())) for case in drawn}
    lines = [row for case in drawn for row in _rows(case, found[case], intervals[case])]
    heads = ("Accelerator", "Bits", "Unit", "Cycles per image", "Of the interval, %")
    first = drawn[0]
    note = (
        f"{label(first.workload, records)}, batch {first.batch}. A unit: what computes a group of layers, or other"
        " work of one kind, of one block. All work at once, on images that follow each other: the interval between them is"
        f" that of the slowest unit, or longer where DRAM cannot keep up.{elsewhere(every, drawn, records)}"
    )
    setters = {case: _setter(found[case], intervals[case]) for case in drawn}
    said = dict.fromkeys(setters.values())
    where = ", ".join(said) if len(said) == 1 else ", ".join(f"{by} ({case})" for case, by in setters.items())
    verb = "sets" if len(said) == 1 else "set"
    return filled(
        f"Units of a pipeline: {where} {verb} the interval", heads, lines, lambda _: note, place=75, first=True
    )


def _slowest_first(rows: Sequence[Record]) -> dict[str, float]:
    return dict(sorted(((r.node, number(r)) for r in rows if r.metric == "unit_cycles"), key=lambda unit: -unit[1]))


def _interval(case: Case, units: dict[str, float], whole: Sequence[Record]) -> float:
    """Cycles from one image to the next; those of the slowest unit where the total is not known."""
    cycles = value(whole, "cycles")
    return max(units.values()) if cycles is None else cycles / int(case.batch)


def _setter(units: dict[str, float], interval: float) -> str:
    name, slowest = next(iter(units.items()))
    return name if interval <= _WAITS * slowest else "DRAM"


def _rows(case: Case, units: dict[str, float], interval: float) -> Iterator[tuple[str, ...]]:
    for name, cycles in units.items():
        share = 100 * cycles / (interval or 1.0)
        yield case.accelerator, bits_label(case.bits), name, f"{cycles:,.0f}", f"{share:.1f}"
