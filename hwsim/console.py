"""How the command line speaks: tables to stdout, progress to stderr, records and summaries as JSON for machines."""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
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


_interrupted = threading.Event()


def watch_interrupts() -> None:
    """Remember Ctrl-C besides raising it: raised inside a library's callback it may be swallowed, and is then raised again
    at the next step of progress."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        _interrupted.set()
        raise KeyboardInterrupt

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        if args.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(args)

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = unraisable


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt if Ctrl-C came, even if it was swallowed."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Within, call the yielded function with (done, total): a bar on a terminal, a line now and then elsewhere."""
    with _bar(title) if sys.stderr.isatty() else _lines(title) as show:

        def advance(done: int, total: int) -> None:
            stop_if_interrupted()
            show(done, total)

        yield advance
    stop_if_interrupted()


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _lines(title: str) -> Iterator[Advance]:
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
