"""MACs by group of layers, as the records have them, in the order in which a network runs through its groups; and the
colours of groups in figures."""

from collections.abc import Iterable, Mapping, Sequence

from hwsim.record import Record
from reports.rows import number, select, workloads

COLOURS = {
    "patch_embed": "#8c8c8c",
    "conv": "#b8860b",
    "qkv": "#0072b2",
    "qk": "#e69f00",
    "av": "#f3c969",
    "proj": "#56b4e9",
    "fc1": "#00795a",
    "fc2": "#5cc2a0",
    "downsample": "#cc79a7",
    "head": "#d55e00",
}
"""Of the groups of products."""
OTHER = "#999977"
"""Of any other group."""
DARK = ("qkv", "fc1")
"""Groups whose colour takes light text."""
_ORDER = (*COLOURS, "other", "elementwise")


def macs_by_group(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """For each workload, MACs by group; at several bit widths the first, since MACs do not depend on bits."""
    rows = [r for r in select(records, "macs") if r.node and not r.accelerator]
    return {w: {r.node: number(r) for r in reversed(rows) if r.workload == w} for w in workloads(rows)}


def ordered_groups(by_model: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """The groups in which any model has MACs: known ones in network order, then others as they come."""
    present: Iterable[str] = dict.fromkeys(g for groups in by_model.values() for g, macs in groups.items() if macs)
    return tuple(sorted(present, key=lambda g: _ORDER.index(g) if g in _ORDER else len(_ORDER)))
