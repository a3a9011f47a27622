"""Findings of finished shards, kept in files until all are done: a run that was killed goes on from there.

A folder holds one run, and is named by the key of all that decides its numbers; a file holds one shard, with a digest: what
is cut short or altered is not there.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hwsim.files import check_folder, write_text
from qmodels.examiner import Finding, Shard


def default_folder() -> Path:
    """Where finished shards are kept unless the caller says otherwise: in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim" / "verify"


class Kept:
    """Findings in the folder `root/key`: those of `shards` that are there, and all that are added; raises BadFile where no
    file can be made there."""

    def __init__(self, root: Path, key: str, shards: Iterable[Shard]) -> None:
        self.folder = root / key
        check_folder(self.folder)
        self.shards = tuple(shards)
        self.findings = {shard: finding for shard in self.shards if (finding := self._read(shard))}

    def __str__(self) -> str:
        return f"{len(self.findings)} of {len(self.shards)} shards"

    def add(self, finding: Finding) -> None:
        """Keep a finding, whole or not at all."""
        found = finding.as_json()
        write_text(json.dumps({"sha256": _digest(found), "finding": found}), self._file(finding.shard))
        self.findings[finding.shard] = finding

    def forget(self) -> None:
        """Remove the folder: all is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, shard: Shard) -> Finding | None:
        """The finding of `shard`; None where it is not kept, or not as it was written."""
        try:
            kept = json.loads(self._file(shard).read_text(encoding="utf-8"))
            if kept["sha256"] != _digest(kept["finding"]):
                return None
            finding = Finding.from_json(kept["finding"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        return finding if finding.shard == shard else None

    def _file(self, shard: Shard) -> Path:
        return self.folder / f"{shard.start}-{shard.stop}.json"


def _digest(found: object) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
