"""How wide the accumulator of every integer product must be, and what overflowed where it was narrower."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import number, select, trials
from reports.table import Table, filled

_METRICS = ("node_accumulator_bits_proven", "node_accumulator_overflowed")


def accumulators(records: Sequence[Record]) -> Table | None:
    """One row per comparison and product; None where there is none. Columns that nothing was seen for are left out."""
    found = trials(select(records, *_METRICS))
    if not found:
        return None
    own = trials(records)
    rows = [
        _row(name, node, own[name])
        for name, some in found.items()
        for node in dict.fromkeys(r.node for r in some)
        if node
    ]
    heads = ("Comparison", "Product", "Any operands", "Any activations", "Seen", "Overflowed outputs")
    return filled("Accumulators, bits", heads, rows, _note, place=68, first=len(found) > 1)


def _note(heads: Sequence[str]) -> str:
    """How to read the columns `heads`."""
    said = {
        "Any operands": "Bits of the narrowest two's-complement register that no operands whatever can overflow.",
        "Any activations": "Any activations: that none can with the weights as they are.",
        "Seen": "Seen: that holds the finished sums of the images seen.",
        "Overflowed outputs": "Overflowed outputs: inexact finished sums, having left the N bits.",
    }
    return " ".join(words for head, words in said.items() if head in heads)


def _row(name: str, node: str, records: Sequence[Record]) -> tuple[str, ...]:
    def said(metric: str) -> str:
        found = select(records, f"node_accumulator_{metric}", node=node)
        return f"{number(found[0]):,.0f}" if found else ""

    over, outputs = said("overflowed"), said("outputs")
    part = f"{over} of {outputs}" if over else ""
    return name, node, said("bits_proven"), said("bits_weights"), said("bits_seen"), part
