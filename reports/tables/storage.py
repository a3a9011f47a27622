"""What each model stores at each bit width, and what published sizes leave out of it."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.prefixes import engineering
from reports.rows import bit_widths, bits, bits_label, label, number, select, value_at, workloads
from reports.table import Table

_PARAMETERS = {"weights": "Weights", "biases": "Biases", "norms": "Norms", "others": "Tokens, positions"}


def storage(records: Sequence[Record]) -> Table | None:
    """One row per model and bit width; None where nothing is known of what is stored."""
    rows = select(records, "stored_bytes")
    lines = []
    for workload in workloads(rows):
        of_model = [r for r in rows if r.workload == workload]
        for pair in bit_widths(of_model):
            sizes = {r.node: number(r) for r in of_model if bits(r) == pair}
            total, extra = sum(sizes.values()), sum(size for kind, size in sizes.items() if kind not in _PARAMETERS)
            simple = value_at(records, workload, "size_simple", pair)
            lines.append(
                (
                    label(workload, records),
                    bits_label(pair),
                    *(engineering(sizes.get(kind, 0), "B") for kind in _PARAMETERS),
                    engineering(extra, "B"),
                    engineering(total, "B"),
                    f"{100 * (total / simple - 1):+.1f} %" if simple else "",
                )
            )
    if not lines:
        return None
    return Table(
        "What each model stores",
        ("Model", "Bits", *_PARAMETERS.values(), "Scales, zero points", "In all", "Over P b / 8"),
        tuple(lines),
        "Codes are packed, everything else is a float of 32 bits, zero points are as wide as their codes. In all without"
        " scales and zero points is size_bidet; P b / 8 is size_simple, every parameter at the weights' width.",
        place=41,
    )
