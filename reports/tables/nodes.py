"""Every quantizer of a comparison: codes that differ, how near the reals are, how much is clamped, what was flipped."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import number, select, trials
from reports.table import Table, filled

_METRICS = ("node_codes_compared", "node_cosine", "node_flips")


def nodes(records: Sequence[Record]) -> Table | None:
    """One row per comparison and node; None where no node was compared. Columns that nothing was seen for are left out."""
    found = trials(select(records, *_METRICS))
    if not found:
        return None
    rows = [_row(name, node, own) for name, own in trials(records).items() for node in _nodes(found.get(name, ()))]
    heads = (
        "Comparison",
        "Node",
        "Differ node by node",
        "Differ free running",
        "Largest step",
        "Cosine",
        "SQNR",
        "Clamped",
        "Flips",
    )
    return filled("Quantizers, one by one", heads, rows, _note, place=66, first=len(found) > 1)


def _note(heads: Sequence[str]) -> str:
    """How to read the columns `heads`."""
    said = {
        "Largest step": "Differ: codes that are not those of the fake-quant model in float64; the largest step is by how"
        " many they differ at most.",
        "Cosine": "Cosine: of the reals that the codes mean, free running, and fake quant's.",
        "SQNR": "SQNR is of the same reals, and left blank where nothing differs.",
        "Clamped": "Clamped: the share of the fake-quant model's values that lie beyond the grid by more than half a step.",
        "Flips": "Flips: bits that were flipped.",
    }
    return " ".join(words for head, words in said.items() if head in heads)


def _nodes(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r.node for r in records))


def _row(name: str, node: str, records: Sequence[Record]) -> tuple[str, ...]:
    def said(metric: str, form: str, **tags: str) -> str:
        found = select(records, metric, node=node, **tags)
        return form.format(number(found[0])) if found else ""

    def differ(mode: str) -> str:
        return said("node_codes_mismatched", "{:,.0f}", mode=mode, dtype="float64")

    return (
        name,
        node,
        differ("node_by_node"),
        differ("free_running"),
        said("node_largest_step", "{:,.0f}", mode="free_running", dtype="float64"),
        said("node_cosine", "{:.6f}"),
        said("node_sqnr", "{:.1f} dB"),
        said("node_saturation", "{:.3%}").replace("%", " %"),
        said("node_flips", "{:,.0f}"),
    )
