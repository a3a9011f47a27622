"""The machines of a sweep that no other beats."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.fronts import OBJECTIVES, Point, fronts
from reports.prefixes import engineering
from reports.table import Table

_MOST = 12
"""Rows of each front."""


def pareto_front(records: Sequence[Record]) -> Table | None:
    """A few rows per front, evenly chosen in the order of its first objective; None where nothing was swept."""
    found = fronts(records)
    if not found:
        return None
    several = len({point.accelerator for front in found for point in front}) > 1
    rows = [row for front in found for row in _rows(front, several, records)]
    return Table(
        "Pareto fronts of the design space",
        ("Front", "Of", "Machine", *(f"{name}, {unit}" for name, unit in OBJECTIVES.values())),
        tuple(rows),
        "Machines that no other beats: none is at least as good in every objective"
        f" ({'; '.join(dict.fromkeys(', '.join(front[0].objectives) for front in found))}) and better in one. Points compete"
        " only with those of the same front. Of: the machines on the front, and all that compete; of a longer front"
        f" {_MOST} are shown, evenly chosen. Latency is that of a whole batch, energy that of one image. Area is a proxy:"
        " arithmetic of the PEs and bits of memory, at the node of the energy table.",
        place=84,
    )


def _rows(front: Sequence[Point], several: bool, records: Sequence[Record]) -> list[tuple[str, ...]]:
    best = [point for point in front if point.best]
    count = min(_MOST, len(best))
    shown = [best[round(i * (len(best) - 1) / max(1, count - 1))] for i in range(count)]
    return [
        (
            point.name(records),
            f"{len(best)} / {point.tags.get('compete', '')}",
            f"{point.accelerator}: {point.tags.get('settings', '')}" if several else point.tags.get("settings", ""),
            *(engineering(point.values[name]) for name in OBJECTIVES),
        )
        for point in shown
    ]
