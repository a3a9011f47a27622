"""MACs by group of layers, as the records have them, in the order in which a network runs through its groups."""

from collections.abc import Iterable, Mapping, Sequence

from hwsim.record import Record
from reports.rows import number, select, workloads

_ORDER = ("patch_embed", "qkv", "qk", "av", "proj", "fc1", "fc2", "downsample", "head", "elementwise")


def macs_by_group(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """For each workload, MACs by group; at several bit widths the first, since MACs do not depend on bits."""
    rows = [r for r in select(records, "macs") if r.node]
    return {w: {r.node: number(r) for r in reversed(rows) if r.workload == w} for w in workloads(rows)}


def ordered_groups(by_model: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """The groups in which any model has MACs: known ones in network order, then others as they come."""
    present: Iterable[str] = dict.fromkeys(g for groups in by_model.values() for g, macs in groups.items() if macs)
    return tuple(sorted(present, key=lambda g: _ORDER.index(g) if g in _ORDER else len(_ORDER)))
