"""The fronts of a sweep's results, and their records.

Points compete where they have in common what the sweep keeps `apart`: by default the model, its bits, the batch and the
energy table, since fewer bits, another network or cheaper prices are not better machines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.accel.sweep.pareto import front
from hwsim.accel.sweep.results import chosen, columns
from hwsim.accel.sweep.run import Sweep
from hwsim.accel.sweep.space import Numbers
from hwsim.accel.sweep.spec import UNIFORM
from hwsim.record import Record

METRICS = {"latency": "latency_seconds", "energy": "energy_joules", "area": "area_um2", "size": "size_bytes"}
"""The numbers of a line that the objectives are."""

SHOWN = {"latency": (1e3, "ms"), "energy": (1e3, "mJ"), "area": (1e-6, "mm2"), "size": (1e-6, "MB")}
"""Factor and unit of the objectives in records."""

CLOUD = 400
"""Beaten points of each front that records hold beside it, evenly spaced: a figure's background."""


@dataclass(frozen=True, slots=True)
class Front:
    """Of so many `points` that compete, in the order of their first objective: the lines of those that no other beats, and
    those of some that are beaten."""

    points: int
    best: tuple[Mapping[str, Any], ...]
    beaten: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Fronts:
    """All fronts of a sweep; `refused` says why points were, each reason with how many they are."""

    fronts: tuple[Front, ...]
    refused: Mapping[str, int]


def fronts(sweep: Sweep, path: Path) -> Fronts:
    """The fronts of the whole results in the file `path`."""
    values, refused = columns(path, [METRICS[name] for name in sweep.spec.objectives])
    numbers = ~np.isnan(values).any(axis=1)
    kinds = np.unique(_kind(sweep)[numbers], return_inverse=True)[1]
    places, found = np.flatnonzero(numbers), []
    for kind in range(kinds.max(initial=-1) + 1):
        mine = places[kinds == kind]
        best = front(values[mine])
        ordered = mine[best][np.argsort(values[mine[best], 0], kind="stable")]
        beaten = mine[~best]
        found.append((len(mine), ordered, beaten[:: -(-len(beaten) // CLOUD) or 1]))
    lines = chosen(path, [place for _, best, beaten in found for place in (*best.tolist(), *beaten.tolist())])
    return Fronts(tuple(Front(size, _of(lines, best), _of(lines, beaten)) for size, best, beaten in found), refused)


def _of(lines: Mapping[int, Mapping[str, Any]], places: Numbers) -> tuple[Mapping[str, Any], ...]:
    return tuple(lines[place] for place in places.tolist())


def _kind(sweep: Sweep) -> Numbers:
    """A number for each point; equal ones for points that compete."""
    space, apart = sweep.pricer.space, sweep.spec.apart
    group, inner = np.divmod(sweep.points, space.group)
    sizes = [len(axis) for axis in space.outer]
    digits = dict(zip((axis.keys[0] for axis in space.outer), np.unravel_index(group, sizes), strict=True))
    own = [machine.energy for machine in sweep.pricer.accelerators.values()]
    tables = [[name or each for (name,) in space.energy.values] for each in own]
    names = sorted({name for row in tables for name in row})
    table = np.array([[names.index(name) for name in row] for row in tables])
    digits["energy"] = table[digits["accelerator"], inner % len(space.energy)]
    kind = np.zeros(len(sweep.points), dtype=np.int64)
    for key in apart:
        kind = kind * (int(digits[key].max(initial=0)) + 1) + digits[key]
    return kind


def records(sweep: Sweep, found: Fronts) -> list[Record]:
    """Four records a point, `sweep_latency`, `_energy`, `_area` and `_size`, tagged with its settings, the number of its
    front, how many compete there, and whether it stands on it."""
    return [
        record
        for number, one in enumerate(found.fronts)
        for on, lines in (("yes", one.best), ("no", one.beaten))
        for line in lines
        for record in _records(
            sweep, line, {"sweep": sweep.spec.name, "front": number, "compete": one.points, "on": on}
        )
    ]


def _records(sweep: Sweep, line: Mapping[str, Any], tags: Mapping[str, Any]) -> Iterator[Record]:
    bits = UNIFORM.fullmatch(line["bits"])
    widths = {"wbits": bits[1], "abits": bits[2]} if bits else {}
    said = {"point": line["point"], "bits": line["bits"], "batch": line["batch"], "table": line["energy"]}
    common = {
        **tags,
        **said,
        **widths,
        "settings": settings(sweep, line),
        "objectives": " ".join(sweep.spec.objectives),
    }
    kept = tuple((key, str(value)) for key, value in common.items())
    for name, (factor, unit) in SHOWN.items():
        value = line[METRICS[name]] * factor
        yield Record(line["model"], f"sweep_{name}", value, unit, accelerator=line["accelerator"], tags=kept)


def settings(sweep: Sweep, line: Mapping[str, Any]) -> str:
    """What the sweep's own axes set at this point, in words: `rows cols 32, gb_per_s 25.6`."""
    space = sweep.pricer.space
    return ", ".join(_words(axis.keys, [line[key] for key in axis.keys]) for axis in (*space.outer[4:], *space.numeric))


def _words(keys: Sequence[str], values: Sequence[Any]) -> str:
    told = [str(value) if isinstance(value, str | bool) else f"{value:g}" for value in values]
    names = " ".join(key.partition(".")[2] or key for key in keys)
    return f"{names} {told[0] if len(set(told)) == 1 else ' x '.join(told)}"
