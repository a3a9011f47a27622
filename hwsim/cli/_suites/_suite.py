"""What every suite is given and gives, and its stages, which are timed and show their progress."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hwsim import console
from hwsim.record import Record


@dataclass(frozen=True, slots=True)
class Options:
    """`limit`: at most so many test images of each data set; `threads`: all cores by default."""

    limit: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a suite found: records in their order; tables to print and sentences to say; more for machines; whether a check
    `failed`, which makes the exit code 1."""

    records: list[Record]
    tables: tuple[str, ...]
    said: tuple[str, ...]
    summary: dict[str, Any] = field(default_factory=dict)
    failed: bool = False


Suite = Callable[[Options], Found]


@contextmanager
def stage(records: list[Record], name: str, title: str = "") -> Iterator[console.Advance]:
    """Within, call the yielded function with (done, total); at the end `records` say how many seconds it took."""
    start = time.perf_counter()
    with console.progress(title or name) as advance:
        yield advance
    records.append(seconds(name, start))


def seconds(name: str, start: float) -> Record:
    """The record of what `name` took since `start`, by time.perf_counter."""
    return Record("reproduce", "seconds", round(time.perf_counter() - start, 2), "s", node=name, source="measured")
