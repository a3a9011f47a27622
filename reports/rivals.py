"""Post-training methods side by side: what `hwsim compare` measured of each, by model, bits and method, one value per seed.

Records have the tags label, seed, place, wbits and abits; the float model has the label `float`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.record import Record
from reports.rows import Bits, bits, number, select
from reports.style import MARKERS, SERIES
from reports.trainings import Group, groups, model_of

FLOAT = (32, 32)
Key = tuple[str, Bits, str]


def found(records: Iterable[Record], metric: str, node: str = "", **tags: str) -> dict[Key, Group]:
    """The groups that have `metric` at `node`: float first, then from wide to narrow, in the order of the comparison."""
    rows = [r for r in select(records, metric, **tags) if r.node == node]
    ordered = sorted(groups(rows, metric), key=lambda g: (g.model, g.bits != FLOAT, [-width for width in g.bits]))
    return {group.key: group for group in ordered}


def told(group: Group | None, digits: int, factor: float = 1.0) -> str:
    """`mean ± spread` of several seeds, the value of one, "" without any."""
    if group is None:
        return ""
    return group.told(digits, factor) if len(group.values) > 1 else f"{factor * group.mean:.{digits}f}"


def small(group: Group | None) -> str:
    """The same with three digits that count, whatever the size of the mean."""
    if group is None:
        return ""
    mean = f"{group.mean:.3g}"
    return f"{mean} ± {group.spread:.2g}" if len(group.values) > 1 else mean


def undefined(records: Iterable[Record]) -> dict[Key, str]:
    """Why a method does not define a width, for those that do not."""
    return {(model_of(r), bits(r), r.tag("label")): str(r.value) for r in select(records, "method_undefined")}


@dataclass(frozen=True, slots=True)
class Unit:
    """An extra unit of a method at some bits: how many nodes need it, its actions for one image (means over seeds),
    and where the cost model charges it."""

    name: str
    nodes: float
    times: float
    charged: str


def units(records: Iterable[Record]) -> Mapping[Key, tuple[Unit, ...]]:
    """The extra units of each group; those without any are not in it."""
    rows: dict[Key, dict[str, list[Record]]] = {}
    for r in select(records, "method_unit"):
        rows.setdefault((model_of(r), bits(r), r.tag("label")), {}).setdefault(r.node, []).append(r)
    return {key: tuple(_unit(name, of) for name, of in named.items()) for key, named in rows.items()}


def _unit(name: str, rows: Sequence[Record]) -> Unit:
    nodes = [float(r.tag("nodes", "0")) for r in rows]
    times = [number(r) for r in rows]
    return Unit(name, sum(nodes) / len(nodes), sum(times) / len(times), rows[0].tag("charged"))


def styles(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each label, no pair twice among 18."""
    different = dict.fromkeys(labels)
    return {label: (SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(different)}
