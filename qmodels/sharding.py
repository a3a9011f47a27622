"""A verification whose shards are shared by many workers, and taken up again where a killed run left off.

Workers are sent a `Job`: names, paths and numbers. Each makes the model and the graph of it once, reads its images itself,
and sends back findings as JSON objects. Its `key` is a hash of all that decides the numbers: the weights, the images' names
and sizes, the options, the source text of these packages and the versions of others. A worker to which the same names and
paths mean something else is refused, and findings that were kept under another key are never seen.
"""

import hashlib
import importlib
import importlib.metadata
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

import workloads
from hwsim.errors import HwsimError
from hwsim.lower import integerize
from hwsim.lower.ranges import Ranges
from hwsim.lower.recipe import Recipe
from qmodels import builder, data
from qmodels.backends import Workers
from qmodels.data import Batches
from qmodels.evidence import Evidence, Progress, Subject, evidence_of, examiner_of, subject_of, teacher_of
from qmodels.examiner import SHARD, Done, Examiner, Finding, Shard, shards
from qmodels.resume import Kept
from qmodels.what_if import WhatIf
from workloads import datasets

PACKAGES = ("hwsim", "qmodels", "workloads")
VERSIONS = ("torch", "timm", "numpy", "numba", "scikit-learn")


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Job:
    """What is to be examined: a workload with its checkpoint file, if that is not the shipped one, and how many images of a
    split; in integer form where there is a `lowering`, mended where `fold`. The rest is as `hwsim verify` has it."""

    workload: str
    checkpoint: Path | None
    root: Path | None
    split: str
    images: int
    lowering: tuple[Recipe, Ranges] | None = None
    what_if: WhatIf | None = None
    fold: bool = False

    def batches(self) -> Batches:
        """Its images."""
        return data.batches(workloads.find(self.workload), self.split, self.root, self.images)

    def examiner(self, batches: Batches, threads: int | None) -> Examiner:
        """Its examiner."""
        subject = subject_of(workloads.find(self.workload), self.checkpoint, self.fold)
        if self.lowering:
            graph = integerize(subject.mixed, *self.lowering)
            subject = Subject(subject.workload, subject.model, subject.mixed, graph, checkpoint=self.checkpoint)
        return examiner_of(subject, batches, self.what_if, threads)

    def key(self, batches: Batches) -> str:
        """A hash of all that decides the numbers, as it is on this machine."""
        workload = workloads.find(self.workload)
        teacher = teacher_of(workload, self.checkpoint) or workload
        files = [self.checkpoint or builder.shipped(workload), builder.shipped(teacher)]
        recipe, ranges = self.lowering or (None, {})
        said = {
            "workload": self.workload,
            "split": self.split,
            "checkpoints": [hashlib.sha256(file.read_bytes()).hexdigest() if file else "" for file in files],
            "images": batches.fingerprint(),
            "recipe": recipe.model_dump() if recipe else None,
            "ranges": {name: asdict(found) for name, found in ranges.items()},
            "what_if": asdict(self.what_if) if self.what_if else None,
            "fold": self.fold,
            "code": _code(),
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def job_of(
    subject: Subject,
    batches: Batches,
    checkpoint: Path | None = None,
    root: Path | None = None,
    split: str = "test",
    what_if: WhatIf | None = None,
) -> Job:
    """The job of the subject, made from the file `checkpoint`, on `batches`, read from the folder `root`."""
    checkpoint, root = checkpoint and checkpoint.absolute(), root and datasets.absolute(root)
    return Job(
        subject.workload.name, checkpoint, root, split, batches.images, subject.lowering, what_if, bool(subject.folds)
    )


def gather(
    subject: Subject,
    batches: Batches,
    job: Job,
    workers: Workers,
    *,
    kept: Kept | None = None,
    shard_images: int = SHARD,
    progress: Progress | None = None,
) -> Evidence:
    """The evidence, the same for any `workers`; shards that are in `kept` are not examined again, and all come in there.

    subject, batches: what `job` is about, as it is here.
    """
    examiner = examiner_of(subject, batches, job.what_if, workers.threads)
    every = shards(batches.images, shard_images)
    found = dict(kept.findings) if kept else {}
    missing = [shard for shard in every if shard not in found]
    count = sum(shard.images for shard in found)

    def advance(images: int) -> None:
        nonlocal count
        count += images
        if progress:
            progress(count, batches.images)

    advance(0)
    make = _here(examiner, missing, workers, advance) if workers.jobs == 1 else _there(job, missing, workers, advance)
    with closing(make) as findings:
        for finding in findings:
            found[finding.shard] = finding
            if kept:
                kept.add(finding)
    return evidence_of(subject, examiner, [found[shard] for shard in every], job.split)


def _here(examiner: Examiner, missing: Sequence[Shard], workers: Workers, done: Done) -> Iterator[Finding]:
    """Examine the shards in this process."""
    with _torch_threads(workers.threads):
        for shard in missing:
            yield examiner.examine(shard, done)


def _there(job: Job, missing: Sequence[Shard], workers: Workers, done: Done) -> Iterator[Finding]:
    """Have the shards examined by workers, in any order."""
    key, threads = job.key(job.batches()), workers.threads_each
    with closing(
        workers.results(examine, [(job, key, shard.start, shard.stop, threads) for shard in missing])
    ) as results:
        for result in results:
            finding = Finding.from_json(result)
            done(finding.shard.images)
            yield finding


_mine = threading.local()  # of a worker's thread: what it examines with, and the key of that
_making = threading.Lock()


def examine(job: Job, key: str, start: int, stop: int, threads: int) -> dict[str, Any]:
    """What a worker does: the finding of one shard, as a JSON object."""
    with _torch_threads(threads):
        if getattr(_mine, "key", "") != key:
            with _making:
                _mine.key = _mine.examiner = None
                _mine.examiner, _mine.key = _made(job, key, threads), key
        found: dict[str, Any] = _mine.examiner.examine(Shard(start, stop)).as_json()
        return found


def _made(job: Job, key: str, threads: int) -> Examiner:
    batches = job.batches()
    if job.key(batches) != key:
        raise HwsimError(
            f"{job.workload}: every worker must have the same checkpoint, images and versions, got others; "
            "install the same hwsim everywhere and share the folders"
        )
    return job.examiner(batches, threads)


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    """Within, torch uses so many threads; None: as many as it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _code() -> str:
    """A hash of the text of our packages, with the versions of the others."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        folder = Path(importlib.import_module(package).__path__[0])
        for file in sorted(file for kind in ("*.py", "*.toml") for file in folder.rglob(kind)):
            digest.update(f"{package}/{file.relative_to(folder)}\0".encode() + file.read_bytes())
    digest.update(" ".join(importlib.metadata.version(name) for name in VERSIONS).encode())
    return digest.hexdigest()
