"""How the command line speaks: tables to stdout, progress to stderr, records and summaries as JSON for machines."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hwsim.files import write_text
from hwsim.record import Record

PIPE_WIDTH = 140
"""Columns of a table that does not go to a terminal."""

QUIET_SECONDS = 10.0
"""Without a terminal, one line of progress at most this often."""

Advance = Callable[[int, int], None]


def out() -> Console:
    """The console of stdout: rich on a terminal, plain text in a pipe."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def say(text: str) -> None:
    """Print one line of text as it is."""
    out().print(text, markup=False, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Within, call the yielded function with (done, total): a bar on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= QUIET_SECONDS:
            last = time.monotonic()
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

    yield line


def write_json(target: str, records: Iterable[Record], summary: Mapping[str, Any]) -> None:
    """Write {"records": [...], **summary} to the file `target`, or to stdout where it is `-`."""
    text = json.dumps({**summary, "records": [record.as_json() for record in records]}, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_text(text, Path(target))
