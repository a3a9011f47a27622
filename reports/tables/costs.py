"""What each model costs at each bit width: operations by convention, sizes, activation memory."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.prefixes import engineering
from reports.rows import bit_widths, bits_label, label, select, value_at, workloads
from reports.table import Table

_COLUMNS = (
    ("macs", "MACs", ""),
    ("swin_flops", "FLOPs", ""),
    ("bireal_ladder", "OPs", ""),
    ("bitops_wa", "BOPs", ""),
    ("size_simple", "Size, simple", "B"),
    ("size_bidet", "Size, BiDet", "B"),
    ("size_tervit", "Size, TerViT", "B"),
    ("peak_activation_bytes", "Peak activations", "B"),
    ("parameters", "Parameters", ""),
)


def costs(records: Sequence[Record]) -> Table | None:
    """One row per model and bit width; None where nothing was counted. Columns without a value are left out."""
    rows = [r for r in select(records, *(metric for metric, _, _ in _COLUMNS), node="") if not r.accelerator]
    widths = bit_widths(r for r in rows if r.tag("wbits"))
    shown = [column for column in _COLUMNS if select(rows, column[0])]
    lines = []
    for workload in workloads(rows):
        of_model = [r for r in rows if r.workload == workload]
        for pair in (p for p in widths if p in bit_widths(r for r in of_model if r.tag("wbits"))):
            values = [value_at(of_model, workload, metric, pair) for metric, _, _ in shown]
            cells = ["" if v is None else engineering(v, unit) for v, (_, _, unit) in zip(values, shown, strict=True)]
            lines.append((label(workload, records), bits_label(pair), *cells))
    if not lines:
        return None
    return Table(
        "Cost of each model at each bit width",
        ("Model", "Bits", *(heading for _, heading, _ in shown)),
        tuple(lines),
        "MACs: multiply-accumulates (macs), the same at any bit width. FLOPs: as Swin's code counts them"
        " (swin_flops). OPs:"
        " the documented rule of the Q-ViT group (bireal_ladder). BOPs: weight bits x activation bits per MAC, float as"
        " 32 x 32 (bitops_wa). Sizes by size_simple, size_bidet and size_tervit, 1 MB = 1e6 bytes.",
        place=40,
    )
