"""What each accelerator gives for each workload and bit width: cycles, time, traffic, energy."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.estimates import Case, cases, energies, value
from reports.rows import bits_label, label
from reports.table import Table, filled

_COLUMNS = (  # heading, metric, factor, format
    ("Mcycles", "cycles", 1e-6, ",.3f"),
    ("Latency, ms", "latency", 1.0, ",.3f"),
    ("Frames/s", "fps", 1.0, ",.1f"),
    ("Utilisation, %", "utilisation", 100.0, ".1f"),
    ("DRAM, MB", "dram_bytes", 1e-6, ",.3f"),
    ("MAC/B", "intensity", 1.0, ",.1f"),
)


def estimates(records: Sequence[Record]) -> Table | None:
    """One row per workload, accelerator, bit width and batch; None where nothing was estimated."""
    found = {case: rows for case, rows in cases(records).items() if value(rows, "cycles") is not None}
    if not found:
        return None
    batches = len({case.batch for case in found}) > 1
    heads = ("Model", "Accelerator", "Bits", "Batch", *(heading for heading, *_ in _COLUMNS), "Energy, mJ")
    lines = [_row(case, rows, batches, records) for case, rows in found.items()]
    return filled("Accelerator estimates", heads, lines, _note, place=71, first=True)


def _row(case: Case, rows: Sequence[Record], batches: bool, records: Sequence[Record]) -> tuple[str, ...]:
    found = [(value(rows, metric), factor, form) for _, metric, factor, form in _COLUMNS]
    cells = ["" if v is None else format(v * factor, form) for v, factor, form in found]
    totals = sorted(by["total"] for by in energies(rows).values())
    energy = " to ".join(f"{total:.3g}" for total in dict.fromkeys((totals[0], totals[-1]))) if totals else ""
    batch = case.batch if batches else ""
    return label(case.workload, records), case.accelerator, bits_label(case.bits), batch, *cells, energy


def _note(heads: Sequence[str]) -> str:
    """How to read the columns `heads`."""
    said = {
        "Mcycles": "By the closed forms of the model; nothing was measured. Mcycles: 1e6 cycles from one batch to the next.",
        "Latency, ms": "Latency: of one batch.",
        "Utilisation, %": "Utilisation: useful cycles over all cycles.",
        "DRAM, MB": "DRAM: bytes read and written, 1 MB = 1e6 bytes; MAC/B: MACs per such byte.",
        "Energy, mJ": "Energy: of one batch, under the energy table that gives least to the one that gives most.",
    }
    return " ".join(words for head, words in said.items() if head in heads)
