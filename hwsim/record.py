"""Records: one row, one number, one unit. All that reports know; stored as JSON lines.

A record says that for `workload` (and `accelerator`, where one is involved), at `node` (a graph node, a group, or "" for
the whole), the quantity `metric` has `value` in `unit`; `source` says how we know:
`measured`, `computed` (by a printed rule), `fitted` or `inferred` (by a rule of ours), or `documented rule`.
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import BadFile
from hwsim.files import write_text


@dataclass(frozen=True, slots=True)
class Record:
    """One number with its unit and where it comes from; `tags` are further keys a table can select on."""

    workload: str
    metric: str
    value: float | int | str
    unit: str
    node: str = ""
    accelerator: str = ""
    source: str = "computed"
    tags: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(sorted(self.tags)))
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise ValueError(f"record {self.workload}/{self.metric}: value must be finite, got {self.value}")

    def tag(self, key: str, default: str = "") -> str:
        """The tag `key`, or `default` where the record has none."""
        return dict(self.tags).get(key, default)

    def as_json(self) -> dict[str, object]:
        """A JSON object with one key per field; `tags` becomes an object."""
        return {**dataclasses.asdict(self), "tags": dict(self.tags)}


def write_records(records: Iterable[Record], path: Path) -> None:
    """Write `records` as JSON lines to `path`, by way of a temporary file, so that `path` is whole or untouched."""
    write_text("".join(json.dumps(r.as_json(), ensure_ascii=False) + "\n" for r in records), path)


def read_records(path: Path) -> tuple[Record, ...]:
    """The records in the JSON-lines file `path`; raises BadFile with the line number where a line is not a record."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would cut at U+2028 as well
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: cannot be read as records, got {error}; write them with `hwsim reproduce`") from None
    return tuple(_record(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())


def read_folder(folder: Path) -> tuple[Record, ...]:
    """The records of all `*.jsonl` files in `folder`, by the order of their names; raises BadFile where there are none."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise BadFile(
            f"{folder}: must hold files of records (*.jsonl), got none; make them with `hwsim train --suite NAME`"
        )
    return tuple(record for file in files for record in read_records(file))


_KEYS = ("workload", "metric", "value", "unit")
"""What a line must say; the other fields of a record may be left out."""


def _record(line: str, where: str) -> Record:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise TypeError(f"no JSON object but {line[:20]!r}")
        if missing := [key for key in _KEYS if key not in row]:
            raise TypeError(f"no {', '.join(missing)}")
        if extra := sorted(row.keys() - {field.name for field in dataclasses.fields(Record)}):
            raise TypeError(f"the unknown {', '.join(map(repr, extra))}")
        tags = tuple(sorted((str(k), str(v)) for k, v in row.pop("tags", {}).items()))
        record = Record(**row, tags=tags)
        if not isinstance(record.value, float | int | str):
            raise TypeError(f"the value {record.value!r}")
        return record
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadFile(f"{where}: is not a record, got {error}; write records with `hwsim reproduce`") from None
