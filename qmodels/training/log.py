"""Metrics of each epoch: records, a line of JSON each, in a file of their own; and TensorBoard's files, where asked for.

A record's tags: method, bits, seed, epoch, step. When a training goes on after a kill, the records of epochs that are done
again are taken away first, so that each is there once.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hwsim.errors import HwsimError
from hwsim.files import write_text
from hwsim.record import Record, read_records, write_records

UNITS = {"seconds": "s", "lr": "", "gradient": "", "images_per_second": "images/s"}


class Log:
    """Both kinds of file, for a process that writes; neither where nothing was asked for.

    epochs: those that are done, whose records stay; an epoch has `steps`.
    """

    def __init__(
        self, workload: str, tags: Mapping[str, str], file: Path | None, board: Path | None, epochs: int, steps: int
    ) -> None:
        self.workload, self.tags, self.file = workload, dict(tags), file
        self.board = _board(board, epochs * steps + 1) if board else None
        if file is not None:
            kept = _kept(file) if epochs and file.exists() else ()
            write_records([r for r in kept if int(r.tag("epoch", "0")) <= epochs], file)

    def epoch(self, epoch: int, step: int, values: Mapping[str, float], more: Iterable[Record] = ()) -> None:
        """Keep the `values` of an epoch, accuracies as shares in [0, 1], and `more` records."""
        tags = {**self.tags, "epoch": str(epoch), "step": str(step)}
        records = [Record(self.workload, key, value, _unit(key), source="measured") for key, value in values.items()]
        records = [dataclasses.replace(r, tags=tuple({**tags, **dict(r.tags)}.items())) for r in (*records, *more)]
        if self.file is not None:
            lines = "".join(json.dumps(r.as_json(), ensure_ascii=False) + "\n" for r in records)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(lines)
        if self.board is not None:
            for record in (r for r in records if not isinstance(r.value, str)):
                name = f"{record.metric}/{record.node}" if record.node else record.metric
                self.board.add_scalar(name, record.value, step)
            self.board.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self.board is not None:
            self.board.close()


def _kept(file: Path) -> tuple[Record, ...]:
    """The records in `file`, without a last line that was cut short by a kill."""
    text = file.read_text(encoding="utf-8")
    write_text(text[: text.rfind("\n") + 1], file)
    return read_records(file)


def _unit(metric: str) -> str:
    return "fraction" if metric.endswith("accuracy") else UNITS.get(metric, "nat")


def _board(folder: Path, first: int) -> Any:
    """TensorBoard's writer; what the folder has of the step `first` and later ones is taken for done again."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise HwsimError(
            "tensorboard: must be installed, got no such package; `pip install 'hwsim[tensorboard]'`, or leave out "
            "--tensorboard and use --log"
        ) from None
    return SummaryWriter(str(folder), purge_step=first)
