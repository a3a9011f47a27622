"""How the command line speaks: tables to stdout, progress to stderr, records and summaries as JSON for machines."""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hwsim.files import write_text
from hwsim.record import Record

PIPE_WIDTH = 140
"""Columns of a table that does not go to a terminal."""

QUIET_SECONDS = 10.0
"""Without a terminal, one line of progress at most this often."""


class Advance(Protocol):
    """Tells how much is done; `note` says how it goes, as a loss."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` are done."""


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
    """Within, call the yielded function with (done, total) and perhaps a note: a bar on a terminal, a line now and then
    elsewhere. Either also tells how long it may still take."""
    with _bar(title) if sys.stderr.isatty() else _lines(title) as show:

        def advance(done: int, total: int, note: str = "") -> None:
            stop_if_interrupted()
            show(done, total, note)

        yield advance
    stop_if_interrupted()


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    text = TextColumn("{task.description}")
    note_column = TextColumn("{task.fields[note]}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), note_column)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)


@contextmanager
def _lines(title: str) -> Iterator[Advance]:
    start = last = time.monotonic()
    first = whole = -1

    def line(done: int, total: int, note: str = "") -> None:
        nonlocal start, last, first, whole
        if total != whole:  # the first, or other work than before
            start, first, whole = last, done, total
        if time.monotonic() - last >= QUIET_SECONDS:
            last = time.monotonic()
            said = [f"{title}: {done} of {total}", note, _left(done - first, total - done, last - start)]
            print(", ".join(part for part in said if part), file=sys.stderr, flush=True)

    yield line


def _left(done: int, rest: int, seconds: float) -> str:
    """How long the `rest` takes where what is `done` took so many seconds; "" where that says less than a second."""
    left = round(seconds / done * rest) if done > 0 else 0
    return f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left" if left else ""


def write_json(target: str, records: Iterable[Record], summary: Mapping[str, Any]) -> None:
    """Write {"records": [...], **summary} to the file `target`, or to stdout where it is `-`."""
    text = json.dumps({**summary, "records": [record.as_json() for record in records]}, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_text(text, Path(target))
