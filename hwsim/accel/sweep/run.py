"""A sweep, from its file to its results: what it needs is read and checked, then its points are priced shard by shard.

Shards are the same whoever prices them, so that workers, chance and kills leave no trace in the results.
"""

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.accel import accelerator as accelerators
from hwsim.accel import energy
from hwsim.accel.accelerator import changed, varied
from hwsim.accel.layer_bits import LayerBits
from hwsim.accel.program import Program
from hwsim.accel.sweep.price import Pricer, Widths, one_at_a_time
from hwsim.accel.sweep.results import Results, opened
from hwsim.accel.sweep.space import Numbers, Space, drawn, split
from hwsim.accel.sweep.spec import UNIFORM, Spec
from hwsim.errors import HwsimError

SHARD = 4096
"""Most points that are priced, and appended, at once."""

EVALUATIONS = 64
"""Most evaluations for them, on average: some milliseconds each, of one machine or of many that differ in numbers."""

Progress = Callable[[int, int], None]
Call = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Generator[Any]]
"""What gives the results of a function for many arguments, in any order, and can be closed."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The numbers of the points that are wanted, ascending, and what prices them, `shard` at once; `header` is what decides
    the results."""

    spec: Spec
    pricer: Pricer
    points: Numbers
    shard: int
    header: Mapping[str, Any]


def sweep_of(spec: Spec, space: Space, programs: Mapping[str, Program]) -> Sweep:
    """The sweep, ready to run; `programs` by the names of its models. Raises HwsimError where anything in it cannot be."""
    machines = {name: accelerators.find(name) for name in spec.accelerator}
    wanted = {*spec.energy, *(machine.energy for machine in machines.values() if not spec.energy)}
    tables = {name: energy.find(name) for name in sorted(wanted)}
    pricer = Pricer(space, programs, machines, tables, {name: _widths(name) for name in spec.bits}, spec.ends)
    _check(spec, pricer)
    points = np.arange(space.size) if spec.points is None else drawn(space.size, spec.points, spec.seed)
    header = {
        "name": spec.name,
        "points": len(points),
        "axes": digest(space, spec.ends, spec.search, spec.points, spec.seed),
        "machines": digest(machines, tables, pricer.bits),
        "models": digest(*((name, each.flow, each.rows) for name, each in sorted(programs.items()))),
        "hwsim": code(),
    }
    return Sweep(spec, pricer, points, _shard(pricer, points), header)


def results_of(sweep: Sweep, path: Path) -> AbstractContextManager[Results]:
    """The results of the sweep in the file `path`, those of an earlier run among them; raises BadFile."""
    return opened(path, sweep.header, sweep.points, sweep.shard)


def run(sweep: Sweep, results: Results, *, call: Call | None = None, progress: Progress | None = None) -> None:
    """Append the points that `results` lack, priced by `call`, or here."""
    total, shards = len(sweep.points), split(sweep.points[results.done :], sweep.shard)
    with closing(_there(sweep.pricer, shards, call) if call else _here(sweep.pricer, shards)) as texts:
        for shard, text in zip(shards, texts, strict=True):
            results.append(text, len(shard))
            if progress:
                progress(results.done, total)


def _here(pricer: Pricer, shards: Sequence[Numbers]) -> Generator[str]:
    for shard in shards:
        yield pricer.lines(shard)


def _there(pricer: Pricer, shards: Sequence[Numbers], call: Call) -> Generator[str]:
    """The lines of the shards in their order; those that come early wait."""
    early: dict[int, str] = {}
    due = 0
    with closing(call(priced, [(number, pricer, shard, code()) for number, shard in enumerate(shards)])) as results:
        for number, text in results:
            early[number] = text
            while due in early:
                yield early.pop(due)
                due += 1


def priced(number: int, pricer: Pricer, shard: Numbers, version: str) -> tuple[int, str]:
    """What a worker does: the lines of one shard."""
    if code() != version:
        raise HwsimError("workers: must all have this very hwsim, got another; install the same everywhere")
    return number, pricer.lines(shard)


def _shard(pricer: Pricer, points: Numbers) -> int:
    """How many points are a shard: SHARD, or fewer where each takes an evaluation of its own."""
    groups = len(np.unique(points // pricer.space.group))
    alone = any(one_at_a_time(machine) for machine in pricer.accelerators.values())
    evaluations = len(points) // len(pricer.space.energy) if alone else groups
    return max(1, min(SHARD, EVALUATIONS * len(points) // max(1, evaluations)))


def _widths(name: str) -> Widths:
    match = UNIFORM.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else LayerBits.read(Path(name))


def _check(spec: Spec, pricer: Pricer) -> None:
    """Have everything tried once that a point may choose, so that a wrong value is told before any work."""
    for model in spec.models:
        for bits in spec.bits:
            pricer.program(model, bits)
    for machine in pricer.accelerators.values():
        alone = one_at_a_time(machine)
        for axis in (*pricer.space.outer[4:], *(pricer.space.numeric if alone else ())):
            for values in axis.values:
                changed(machine, dict(zip(axis.keys, values, strict=True)))
        for axis in () if alone else pricer.space.numeric:
            varied(machine, {key: np.array(axis.column(index)) for index, key in enumerate(axis.keys)})


def digest(*things: object) -> str:
    """A short hash of what the things say of themselves."""
    return hashlib.sha256(repr(things).encode()).hexdigest()[:16]


@cache
def code() -> str:
    """A short hash of the text of this package."""
    found = hashlib.sha256()
    folder = Path(str(resources.files("hwsim")))
    for file in sorted(file for kind in ("*.py", "*.toml") for file in folder.rglob(kind)):
        found.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return found.hexdigest()[:16]
