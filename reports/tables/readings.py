"""The readings of Q-ViT's speedup: the paper's figure beside ours, model by model, with the convention that yields it."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import bits, label, number, select, workloads
from reports.table import Table

_RATIOS = {"theoretical_speedup": "speedup", "flops_reduction": "FLOPs reduction"}


def readings(records: Sequence[Record]) -> Table | None:
    """One row per model, bits and reading; None where no claim was audited."""
    rows = select(records, *_RATIOS)
    if not rows:
        return None
    order = {name: i for i, name in enumerate(workloads(rows))}
    ordered = sorted(rows, key=lambda r: (order[r.workload], -bits(r)[0], -bits(r)[1]))
    columns = ("Model", "W/A", "Paper", "Ours", "Error", "G ops", "Reading", "Convention")
    return Table(
        "Q-ViT's claims and their readings",
        columns,
        tuple(_row(r, records) for r in ordered),
        "Ratios of operation counts, full precision over quantized. Paper: empty where the paper prints no figure;"
        " (p) printed in the paper, (s) quoted by a secondary source. G ops: the two entries of the ratio, in units of"
        " 1e9 operations. Reading: documented = a rule printed by the authors, inferred = our best reading,"
        " unconfirmed: all of these count attention products in the quantized entry alone. FLOPs = the row answers a"
        " claim of FLOPs reduction, otherwise of speedup. A claim that"
        " names no model and no bits (about 21x) stands at every point where a reading comes near it.",
        place=10,
    )


def _row(record: Record, records: Sequence[Record]) -> tuple[str, ...]:
    wbits, abits = bits(record)
    status = {"printed": " (p)", "secondary": " (s)"}.get(record.tag("printed_status"), "")
    reading = "inferred" if record.source == "inferred" else record.source.removesuffix(" rule")
    return (
        label(record.workload, records),
        f"{wbits}/{abits}",
        f"{record.tag('printed')}x{status}" if record.tag("printed") else "",
        f"{number(record):.4f}x",
        record.tag("relative_error"),
        f"{record.tag('full_precision')} / {record.tag('quantized')}" if record.tag("quantized") else "",
        f"{reading}, FLOPs" if record.metric == "flops_reduction" else reading,
        record.tag("convention"),
    )
