"""Files of a list of runs, one of records each: whose they are, and which process has a run in hand.

A file of records says in its record `run` which command line made it, and is only taken for a run of that command line.
Several processes may work on one folder: who claims a run holds a lock on it until it is done, or until its process
ends, killed or not, for the system lets go of it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwsim.errors import BadFile
from hwsim.record import Record, read_records

METRIC = "run"
"""The metric of the record whose value is the command line."""


def records_of(path: Path, command: str, what: str) -> tuple[Record, ...] | None:
    """The records in `path`, None where there are none yet; raises BadFile unless `command` made them, `what` would be
    needed to make them anew: `train the run`."""
    if not path.exists():
        return None
    records = read_records(path)
    made = next((str(record.value) for record in records if record.metric == METRIC), "")
    if made != command:
        raise BadFile(
            f"{path}: must be made by `{command}`, got `{made}`; remove it to {what} again, or choose another --out"
        )
    return records


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether the run whose records go to `path` is left to be done, and no other process does it now: then none will,
    within. Its lock lies in the folder `checkpoints` beside it."""
    lock = path.parent / "checkpoints" / f"{path.stem}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield not path.exists()
