"""What the cycles of each group of layers are spent on, in percent."""

from collections.abc import Iterator, Sequence

from hwsim.record import Record
from reports.estimates import BRIEF, Case, arranged, cases, elsewhere, in_shares, layers, parts, shares, shown, value
from reports.rows import bits_label, label
from reports.table import Table, filled


def cycles_split(records: Sequence[Record]) -> Table | None:
    """One row per accelerator, bit width and group of the first workload; None where no cycles were split."""
    every = cases(records)
    found = {case: rows for case, rows in shown(every).items() if parts(rows)}
    if not found:
        return None
    drawn = [case for line in arranged(found) for case in line if case]
    lines = [row for case in drawn for row in _rows(case, found[case])]
    heads = ("Accelerator", "Bits", "Layers", "MMAC", "Mcycles", *(f"{head}, %" for head in BRIEF.values()))
    first = drawn[0]
    note = (
        f"{label(first.workload, records)}, batch {first.batch}. The columns in percent are of the row, rounded: useful"
        " = every PE at the rate that its scheme has at these bits; mapping = PEs that shapes"
        " leave idle; fill = filling and draining the array, or waiting for the slowest unit of a pipeline; port, DRAM ="
        " waiting for bytes of buffers, of DRAM; vector ="
        f" what of its work does not overlap with products. 1 M = 1e6.{in_shares(records, drawn)}"
        f"{elsewhere(every, drawn, records)}"
    )
    return filled("Cycles by group of layers", heads, lines, lambda _: note, place=75, first=True)


def _rows(case: Case, rows: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    """Those of the groups, and of all layers."""
    names = [name for name in layers(rows) if parts(rows, name)]
    for name in (*names, ""):
        split, macs = parts(rows, name) or (), value(rows, "macs", name)
        yield (
            case.accelerator,
            bits_label(case.bits),
            name or "all layers",
            "" if macs is None else f"{macs / 1e6:,.1f}",
            f"{sum(split) / 1e6:,.3f}",
            *(f"{share:.1f}" for share in shares(split)),
        )
