"""Points of a sweep: machines priced, told apart by their tags, some of which no other beats."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hwsim.record import Record
from reports.rows import label, number, select

OBJECTIVES = {
    "latency": ("Latency", "ms"),
    "energy": ("Energy", "mJ"),
    "area": ("Area", "mm2"),
    "size": ("Weights", "MB"),
}
"""What a point is judged by: heading and unit."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point: its numbers by objective, and its tags; `best` where no other of its front beats it."""

    workload: str
    accelerator: str
    tags: Mapping[str, str]
    values: Mapping[str, float]

    @property
    def best(self) -> bool:
        """Whether it stands on the front."""
        return self.tags.get("on") == "yes"

    @property
    def objectives(self) -> tuple[str, ...]:
        """What its front is of."""
        return tuple(name for name in self.tags.get("objectives", "").split() if name in OBJECTIVES) or ("latency",)

    def name(self, records: Iterable[Record]) -> str:
        """What a reader calls its front: all that its points have in common."""
        bits, batch = self.tags.get("bits", ""), self.tags.get("batch", "1")
        bits = bits.upper() if self.tags.get("wbits") else bits
        words = (
            f"{label(self.workload, records)} {bits}",
            f"batch {batch}" if batch != "1" else "",
            self.tags.get("table"),
        )
        return ", ".join(word for word in words if word)


def fronts(records: Iterable[Record]) -> tuple[tuple[Point, ...], ...]:
    """The whole points of each front, in their order."""
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], dict[str, float]] = {}
    for r in select(records, *(f"sweep_{name}" for name in OBJECTIVES)):
        found.setdefault((r.workload, r.accelerator, r.tags), {})[r.metric.removeprefix("sweep_")] = number(r)
    parts: dict[tuple[str, str], list[Point]] = {}
    for (workload, accelerator, tags), values in found.items():
        if len(values) == len(OBJECTIVES):
            point = Point(workload, accelerator, dict(tags), values)
            parts.setdefault((point.tags.get("sweep", ""), point.tags.get("front", "")), []).append(point)
    return tuple(tuple(part) for part in parts.values())
