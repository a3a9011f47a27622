"""Cases measured against each other: every case in turn, round after round, each in a warm process of its own kind.

A case is a function made in a worker (`worker.py`), a process that lives as long as the run. Cases with the same `host`
and environment share a worker; only one case runs at a time. Figures are core-seconds (user + system time of all
threads of the worker during the call), which other jobs on the machine disturb little; wall time stands beside them.
The time of a case is the median over the rounds; a ratio is the median of each round's ratio, so that a slow moment of
the machine meets both sides. Which case begins moves on by one from round to round.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
"""Environment of every worker: OpenMP threads that spin burn core-seconds for nothing."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """`make` ("module:function") is called with `arguments` in the worker of `host` and `environment`."""

    name: str
    make: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    host: str = "main"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def process(self) -> tuple[object, ...]:
        """Cases with the same value share a worker."""
        return (self.host, *sorted(self.environment.items()))


@dataclass(frozen=True, slots=True)
class Times:
    """One case: core-seconds and seconds of every round, and what its maker had to say."""

    cpu: tuple[float, ...]
    wall: tuple[float, ...]
    note: str | None = None

    @property
    def core_seconds(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.cpu)


@dataclass(frozen=True, slots=True)
class Result:
    """Times by name of case, in order; why cases were skipped; peak memory of each worker in MB."""

    times: Mapping[str, Times]
    skipped: Mapping[str, str]
    memory: Mapping[str, float]

    def ratio(self, above: str, below: str) -> float | None:
        """The median over the rounds of core-seconds of `above` / `below`; None where either did not run."""
        if above not in self.times or below not in self.times:
            return None
        pairs = zip(self.times[above].cpu, self.times[below].cpu, strict=True)
        return statistics.median(a / b for a, b in pairs)

    def least(self, names: Sequence[str]) -> str | None:
        """The case of `names` with the fewest core-seconds, None where none ran."""
        return min((n for n in names if n in self.times), key=lambda n: self.times[n].core_seconds, default=None)

    def json(self) -> dict[str, Any]:
        """Everything, as JSON."""
        times = {n: {"cpu_s": t.cpu, "wall_s": t.wall, "note": t.note} for n, t in self.times.items()}
        return {"times": times, "skipped": dict(self.skipped), "peak_mb": dict(self.memory)}


class Worker:
    """A process running `worker.py`; `ask` sends one order and waits for its answer."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **QUIET, **environment},
        )

    def ask(self, **order: object) -> dict[str, Any]:
        """The answer to `order`; {"error": ...} where the process died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": f"the process ended with {self.process.wait()}"}

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def run(cases: Sequence[Case], rounds: int, *, warm: int = 2, say: Say = lambda text: None) -> Result:
    """Make all `cases`, warm each up `warm` times, then run them in turns for `rounds` rounds.

    A case that cannot run is left out, with its reason; so is one that fails, at any time.
    """
    workers: dict[tuple[object, ...], Worker] = {}
    skipped: dict[str, str] = {}
    notes: dict[str, str | None] = {}
    alive: dict[str, Case] = {}
    samples: dict[str, list[dict[str, float]]] = {}
    try:
        for case in cases:
            worker = workers.get(case.process) or workers.setdefault(case.process, Worker(case.environment))
            order = {"name": case.name, "make": case.make, "arguments": dict(case.arguments)}
            got = worker.ask(do="make", warm=warm, **order)
            if "note" in got:
                alive[case.name], notes[case.name], samples[case.name] = case, got["note"], []
            else:
                reason = got.get("skip") or got["error"]
                if reason not in skipped.values():
                    say(f"left out: {case.name}: {reason.strip().splitlines()[-1]}")
                skipped[case.name] = reason
        for number in range(rounds):
            names = list(alive)
            start = number % max(len(names), 1)
            for name in names[start:] + names[:start]:
                got = workers[alive[name].process].ask(do="run", name=name)
                if "error" in got:
                    skipped[name] = got["error"]
                    say(f"left out: {name}: {got['error']}")
                    del alive[name]
                else:
                    samples[name].append(got)
            say(f"round {number + 1} of {rounds} done")
        memory = {"/".join(map(str, key[:1])): w.ask(do="memory").get("peak_mb", 0.0) for key, w in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    times = {
        name: Times(tuple(s["cpu"] for s in samples[name]), tuple(s["wall"] for s in samples[name]), notes[name])
        for name in alive
    }
    return Result(times, skipped, memory)
