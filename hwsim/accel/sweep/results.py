"""The file of a sweep's results: JSON lines, the first says what the others are of, then one per point in ascending order.

Lines are only appended, in order, and what decides them stands in the first. So the file of a killed run is the beginning
of the whole file: it is cut back to the last whole shard, and the same sweep goes on from there. The whole file is the
same, byte for byte, for any number of workers and kills.
"""

import fcntl
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.accel.sweep.space import Numbers
from hwsim.errors import BadFile
from hwsim.files import check_writable

KIND = "hwsim sweep"


class Results:
    """What is in an open file of results: the lines of the first `done` points of a sweep."""

    def __init__(self, file: io.BufferedRandom, done: int) -> None:
        self._file, self.done = file, done

    def append(self, lines: str, points: int) -> None:
        """Write the lines of so many points, and hand them to the system."""
        self._file.write(lines.encode())
        self._file.flush()
        self.done += points


@contextmanager
def opened(path: Path, header: Mapping[str, Any], points: Numbers, shard: int) -> Iterator[Results]:
    """The results of `points` in the file `path`, whose first line is to be `header`; `shard` points are appended at once.

    Raises BadFile where the file holds something else, is being written by another process, or cannot be written.
    """
    check_writable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Results(file, _kept(file, path, header, points, shard))
    except BlockingIOError:
        raise BadFile(f"{path}: cannot be written, got another run that is writing it; wait for its end") from None
    except OSError as error:
        raise BadFile(f"{path}: cannot be written, got {error.strerror or error}; choose another place") from None


def _kept(file: io.BufferedRandom, path: Path, header: Mapping[str, Any], points: Numbers, shard: int) -> int:
    """Cut the file back to whole shards, or begin it; how many points are there."""
    file.seek(0)
    first, there = (json.dumps({"kind": KIND, **header}) + "\n").encode(), file.readline()
    if not there.endswith(b"\n") and first.startswith(there):  # not there, or cut short at once
        file.truncate(0)
        file.write(first)
        file.flush()
        return 0
    if there != first:
        raise _other(path, there, header)
    kept, kept_end, end = 0, len(first), len(first)
    for count, (point, line) in enumerate(zip(points.tolist(), file, strict=False), 1):
        if not line.endswith(b"\n"):
            break
        if not (line.startswith(b'{"point": %d,' % point) and line.endswith(b"}\n")):
            raise BadFile(f"{path}:{count + 1}: must hold point {point}, got {_short(line)}; remove the file")
        end += len(line)
        if count % shard == 0 or count == len(points):
            kept, kept_end = count, end
    if kept == len(points) and file.read(1):
        raise BadFile(f"{path}: must end after {kept} points, got more; remove the file")
    file.truncate(kept_end)
    return kept


def columns(path: Path, names: Sequence[str]) -> tuple[NDArray[np.float64], Counter[str]]:
    """The numbers called `names` of all points in the file: (points, names), NaN where one was refused; and why it was."""
    refused: Counter[str] = Counter()

    def numbers() -> Iterator[float]:
        for line in _lines(path):
            if "refused" in line:
                refused[line["refused"]] += 1
            for name in names:
                yield line.get(name, np.nan)

    return np.fromiter(numbers(), dtype=np.float64).reshape(-1, len(names)), refused


def chosen(path: Path, places: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The lines at these places in the file, the first point's being 0."""
    wanted = set(places)
    with path.open("rb") as file:
        next(file)
        return {place: json.loads(line) for place, line in enumerate(file) if place in wanted}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        next(file)
        for number, line in enumerate(file, 2):
            try:
                yield json.loads(line)
            except ValueError:
                raise BadFile(f"{path}:{number}: must be JSON, got {_short(line)}; remove the file") from None


def _other(path: Path, there: bytes, header: Mapping[str, Any]) -> BadFile:
    """The error for a file that begins otherwise."""
    try:
        found = json.loads(there)
        ours = isinstance(found, dict) and found.get("kind") == KIND
    except ValueError:
        ours = False
    if not ours:
        return BadFile(
            f"{path}: must be results of this sweep or not be there, got {_short(there)}; choose another file"
        )
    different = ", ".join(key for key, value in header.items() if found.get(key) != value)
    return BadFile(f"{path}: must be results of this sweep, got others ({different} differ); choose another file")


def _short(line: bytes) -> str:
    return repr(line[:40].decode("utf-8", "replace").rstrip("\n"))
