"""What the vector unit does, by the kind of work: how long it is busy, and how long the arrays wait for it."""

from collections.abc import Iterator, Sequence

from hwsim.record import Record
from reports.estimates import Case, arranged, cases, elsewhere, shown, value
from reports.rows import bits_label, label, number
from reports.table import Table, filled


def vector_work(records: Sequence[Record]) -> Table | None:
    """One row per accelerator, bit width and role of the first workload, what takes longest first; None without any."""
    every = cases(records, "role")
    found = shown(every)
    totals = cases(records)
    drawn = [case for line in arranged(found) for case in line if case]
    lines = [row for case in drawn for row in _rows(case, found[case], value(totals.get(case, ()), "cycles"))]
    if not lines:
        return None
    heads = ("Accelerator", "Bits", "Work", "Busy, Mcycles", "Arrays wait, Mcycles", "Of all cycles, %")
    first = drawn[0]
    note = (
        f"{label(first.workload, records)}, batch {first.batch}. Busy: the vector unit works on it. Arrays wait: what of that"
        " does not overlap with products; the last column is its share of all cycles, of which it is the part `vector`."
        " A group of layers, as qk: the sums that zero points cost its products."
        f" 1 M = 1e6.{elsewhere(every, drawn, records)}"
    )
    return filled("What the vector unit works on", heads, lines, lambda _: note, place=75, first=True)


def _rows(case: Case, rows: Sequence[Record], cycles: float | None) -> Iterator[tuple[str, ...]]:
    """Those of the roles, and of all together."""
    busy = {r.node: number(r) for r in rows if r.metric == "busy_cycles"}
    waits = {r.node: number(r) for r in rows if r.metric == "vector_cycles"}
    work = [(role, busy[role], waits.get(role, 0.0)) for role in sorted(busy, key=lambda role: -busy[role])]
    for role, own, wait in (*work, ("all work", sum(busy.values()), sum(waits.values()))) if work else ():
        share = "" if not cycles else f"{100 * wait / cycles:.1f}"
        yield case.accelerator, bits_label(case.bits), role, f"{own / 1e6:,.3f}", f"{wait / 1e6:,.3f}", share
