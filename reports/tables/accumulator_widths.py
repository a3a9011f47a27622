"""How wide accumulators must be, by group of layers: for any codes, for these weights, and for the images seen."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import bit_widths, bits, bits_label, label, number, select, workloads
from reports.table import Table

_K = "group_accumulator_k"
_BITS = tuple(f"group_accumulator_bits_{how}" for how in ("codes", "weights", "seen"))


def accumulator_widths(records: Sequence[Record]) -> Table | None:
    """One row per model and group, one column per bit width; None where no group was measured."""
    rows = select(records, _K, *_BITS)
    if not rows:
        return None
    pairs = bit_widths(rows)
    lines = []
    for workload in workloads(rows):
        own = [r for r in rows if r.workload == workload]
        drawn = any(r.tag("weights") == "random" for r in own)
        for group in dict.fromkeys(r.node for r in own):
            longest = max(number(r) for r in select(own, _K, node=group))
            widths = (" / ".join(_cells([r for r in own if r.node == group and bits(r) == pair])) for pair in pairs)
            lines.append(
                (label(workload, records) + (" (random weights)" if drawn else ""), group, f"{longest:,.0f}", *widths)
            )
    return Table(
        "Accumulator widths by group of layers, bits",
        ("Model", "Layers", "K", *(bits_label(pair) for pair in pairs)),
        tuple(lines),
        "Bits of the narrowest two's-complement register that holds the sum of K products, the widest of the group: for any"
        " operands within their code ranges / for any activations, with the weights as they are / for the finished sums of"
        " the test images, where there are some. The first holds for any weights, with the zero points as they are; random"
        " weights make the second no more than an example. First and last layers have 8 bits at any width.",
        place=56,
    )


def _cells(rows: Sequence[Record]) -> list[str]:
    return [f"{number(found[0]):.0f}" for metric in _BITS if (found := select(rows, metric))]
