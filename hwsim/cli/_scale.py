"""How `hwsim verify` shares its images among workers, and keeps what they finished."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim import console
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from qmodels.backends import Workers
    from qmodels.data import Batches
    from qmodels.evidence import Evidence, Subject
    from qmodels.resume import Kept
    from qmodels.sharding import Job


def workers_of(jobs: int | None, backend: str | None, scheduler: str | None, threads: int | None) -> "Workers":
    """Who works; raises HwsimError where they are asked for in part, or not there."""
    from qmodels.backends import Workers

    if jobs is None and (backend or scheduler):
        raise HwsimError("backend and scheduler: are of many workers, got no number of them; give --jobs")
    return Workers(jobs or 1, backend or "loky", scheduler, threads)


def kept_shards(job: "Job", batches: "Batches", shard_images: int | None, resume: Path | None) -> "Kept":
    """The shards that an earlier run of this very command has finished; says how many."""
    from qmodels.examiner import SHARD, shards
    from qmodels.resume import Kept, default_folder

    kept = Kept(resume or default_folder(), job.key(batches), shards(batches.images, shard_images or SHARD))
    if kept.findings:
        print(f"resume: {kept} were finished by an earlier run", file=sys.stderr)
    return kept


def gather(
    subject: "Subject",
    batches: "Batches",
    job: "Job",
    workers: "Workers",
    kept: "Kept | None",
    shard_images: int | None,
) -> "Evidence":
    """The evidence; Ctrl-C says what is kept."""
    from qmodels import sharding
    from qmodels.examiner import SHARD

    try:
        with console.progress("verify") as advance:
            return sharding.gather(
                subject, batches, job, workers, kept=kept, shard_images=shard_images or SHARD, progress=advance
            )
    except KeyboardInterrupt:
        if kept is None:
            raise
        raise HwsimError(f"interrupted; {kept} are kept, the same command goes on from there") from None
