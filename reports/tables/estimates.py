"""What each accelerator gives for each workload and bit width: cycles, time, traffic, energy."""

from collections.abc import Iterable, Sequence

from hwsim.record import Record
from reports.estimates import Case, cases, energies, value
from reports.rows import bits_label, label, number, select
from reports.table import Table, filled

_COLUMNS = (  # heading, metric, factor, format
    ("Mcycles", "cycles", 1e-6, ",.3f"),
    ("Latency, ms", "latency", 1.0, ",.3f"),
    ("Frames/s", "fps", 1.0, ",.1f"),
    ("Utilisation, %", "utilisation", 100.0, ".1f"),
    ("DRAM, MB", "dram_bytes", 1e-6, ",.3f"),
    ("MAC/B", "intensity", 1.0, ",.1f"),
)
_AREA = "Area, mm2 (proxy)"


def estimates(records: Sequence[Record]) -> Table | None:
    """One row per workload, accelerator, bit width and batch; None where nothing was estimated."""
    found = {case: rows for case, rows in cases(records).items() if value(rows, "cycles") is not None}
    if not found:
        return None
    batches = len({case.batch for case in found}) > 1
    heads = ("Model", "Accelerator", "Bits", "Batch", *(heading for heading, *_ in _COLUMNS), "Energy, mJ", _AREA)
    seen = ", ".join(dict.fromkeys(r.tag("activity") for rows in found.values() for r in rows if r.tag("activity")))
    lines = [_row(case, rows, batches, records) for case, rows in found.items()]
    return filled("Accelerator estimates", heads, lines, lambda kept: _note(kept, seen), place=71, first=True)


def _row(case: Case, rows: Sequence[Record], batches: bool, records: Sequence[Record]) -> tuple[str, ...]:
    found = [(value(rows, metric), factor, form) for _, metric, factor, form in _COLUMNS]
    cells = ["" if v is None else format(v * factor, form) for v, factor, form in found]
    ranges = _range(by["total"] for by in energies(rows).values()), _range(map(number, select(rows, "area", node="")))
    batch = case.batch if batches else ""
    return label(case.workload, records), case.accelerator, bits_label(case.bits), batch, *cells, *ranges


def _range(found: Iterable[float]) -> str:
    """The least to the most; "" of nothing."""
    ordered = sorted(found)
    return " to ".join(dict.fromkeys(f"{end:.3g}" for end in (ordered[0], ordered[-1]))) if ordered else ""


def _note(heads: Sequence[str], seen: str) -> str:
    """How to read the columns `heads`; `seen` says where measured codes are from."""
    said = {
        "Mcycles": f"By the closed forms of the model; {f'codes as measured: {seen}' if seen else 'nothing was measured'}."
        " Mcycles: 1e6 cycles from one batch to the next.",
        "Latency, ms": "Latency: of one batch.",
        "Utilisation, %": "Utilisation: useful cycles over all cycles.",
        "DRAM, MB": "DRAM: bytes read and written, 1 MB = 1e6 bytes; MAC/B: MACs per such byte.",
        "Energy, mJ": "Energy: of one image, under the energy table that gives least to the one that gives most.",
        _AREA: "Area: of PEs and buffers, under the energy table that gives least to most.",
    }
    return " ".join(words for head, words in said.items() if head in heads)
