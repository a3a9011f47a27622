"""Trainings of a suite: what was measured of each, by model, bits and method, one value per seed.

Records of a run have the tags suite, label, seed, place, wbits and abits (`hwsim train --suite`). The spread over seeds is
the sample standard deviation, 0 of one seed.
"""

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hwsim.record import Record
from reports.rows import Bits, bits, bits_label, label, number, select


@dataclass(frozen=True, slots=True)
class Group:
    """All seeds of one method on one model at one width; `values` by seed."""

    model: str
    bits: Bits
    label: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def key(self) -> tuple[str, Bits, str]:
        """What tells it from others."""
        return self.model, self.bits, self.label

    def told(self, digits: int = 2, factor: float = 1.0) -> str:
        """`mean ± spread`, each times `factor`."""
        return f"{factor * self.mean:.{digits}f} ± {factor * self.spread:.{digits}f}"


def groups(records: Iterable[Record], metric: str, **tags: str) -> tuple[Group, ...]:
    """The groups that have `metric` with these `tags`: per seed, the mean over nodes and operands where there are several.

    Float first, then from narrow to wide, and in the order of the suite.
    """
    found: dict[tuple[str, Bits, str], dict[str, list[float]]] = {}
    places: dict[tuple[str, Bits, str], float] = {}
    for r in select(records, metric, **tags):
        key = model_of(r), bits(r), r.tag("label")
        found.setdefault(key, {}).setdefault(r.tag("seed"), []).append(number(r))
        places[key] = min(places.get(key, math.inf), _place(r))
    ordered = sorted(found, key=lambda key: (key[0], key[1] != (32, 32), key[1], places[key]))
    return tuple(
        Group(*key, tuple(statistics.fmean(found[key][seed]) for seed in sorted(found[key]))) for key in ordered
    )


def by_key(found: Iterable[Group]) -> dict[tuple[str, Bits, str], Group]:
    """The groups by what tells them apart."""
    return {group.key: group for group in found}


def model_of(record: Record) -> str:
    """The model's part of the workload's name: what stands before the bits."""
    return re.sub(r"_w\d+a\d+.*", "", record.workload)


def legend_columns(labels: Sequence[str]) -> int:
    """How many entries of a legend fit beside each other under a figure."""
    return max(1, min(len(labels), 100 // (6 + max(map(len, labels), default=0))))


def name(group: Group, shown: Sequence[Group]) -> str:
    """What a reader calls `group`, among those `shown`: with its width, and its model where there are several."""
    words = [group.label] if group.bits == (32, 32) else [bits_label(group.bits), group.label]
    several = len({other.model for other in shown}) > 1
    return " ".join([label(group.model, ()), *words] if several else words)


def detailed(records: Iterable[Record], metric: str) -> dict[str, tuple[Record, ...]]:
    """The records of `metric` by run, in the order of the suite: what only one seed of a method keeps, as attention maps."""
    found: dict[tuple[float, str], list[Record]] = {}
    for r in select(records, metric):
        words = [r.tag("label")] if bits(r) == (32, 32) else [bits_label(bits(r)), r.tag("label")]
        found.setdefault((_place(r), " ".join(words)), []).append(r)
    return {key[1]: tuple(found[key]) for key in sorted(found)}


def suites(records: Iterable[Record]) -> str:
    """The names of the suites that there are, for captions."""
    return ", ".join(dict.fromkeys(r.tag("suite") for r in select(records, "run_accuracy") if r.tag("suite")))


def seeds(found: Iterable[Group]) -> str:
    """How many seeds the groups have, in words."""
    counts = sorted({len(group.values) for group in found})
    if counts == [1]:
        return "1 seed"
    return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _place(record: Record) -> float:
    text = record.tag("place")
    return float(text) if text.isascii() and text.isdigit() else math.inf
