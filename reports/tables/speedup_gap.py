"""From the speedup on paper to that of the machine, step by step."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.estimates import BASELINES, BRIEF, Case, cases, counted, ladder, on_paper
from reports.rows import bits_label, label, number
from reports.table import Table, filled


def speedup_gap(records: Sequence[Record]) -> Table | None:
    """One row per workload, accelerator, bit width and baseline; None where no speedup was taken apart."""
    found = cases(records)
    lines = [
        _row(case, over, steps, records)
        for case, rows in found.items()
        for over in BASELINES
        if (steps := ladder(rows, over)) and case.bits != (32, 32)
    ]
    if not lines:
        return None
    words = [f"{'+ ' * (part != 'useful')}{head}" for part, head in BRIEF.items()]
    heads = ("Model", "Accelerator", "Bits", "Over", "On paper", *words)
    note = (
        f"On paper: the theoretical speedup over float, a ratio of counted operations{counted(records, found)}."
        " Over float32: the same array with float32 MACs and traffic; over 8 bits: the machine's own 8-bit form. Each column"
        " takes one part more of the cycles into both sides of the ratio; the last is the ratio of all cycles. None is a"
        " measured time. The float32 array has as many PEs, not as much silicon, which flatters float32: its PEs are larger,"
        " so that fewer of them would fit."
    )
    return filled("Speedup on paper and on the machine", heads, lines, lambda _: note, place=73, first=True)


def _row(case: Case, over: str, steps: Sequence[float], records: Sequence[Record]) -> tuple[str, ...]:
    paper = on_paper(records, case)[:1] if over == "float32" else ()
    return (
        label(case.workload, records),
        case.accelerator,
        bits_label(case.bits),
        BASELINES[over],
        "".join(f"{number(r):.2f}x" for r in paper),
        *(f"{ratio:.2f}x" for ratio in steps),
    )
