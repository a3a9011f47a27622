"""Contest: which post-training methods meet on which model, at which widths and seeds, and who judges with what.

A list of runs, one per method, width and seed, all of one setting: model, weights, number of calibration images, test images.
Each has a name, the stem of its files, and a command line that makes it alone, by which its file is known again.
"""

from dataclasses import dataclass
from pathlib import Path

import workloads
from hwsim.errors import HwsimError, UnknownName
from qmodels import builder, data
from qmodels import method as methods
from qmodels.ptq import settings
from workloads.bits import Bits
from workloads.workload import Workload

FLOAT, STUDY = "float", "reconstruction"
"""Names of the files that are no run of a method."""


@dataclass(frozen=True, slots=True)
class Run:
    """One calibration."""

    method: str
    bits: Bits
    seed: int

    @property
    def name(self) -> str:
        """The stem of its files: `w4a4-repqvit-seed0`."""
        return f"{self.bits.name}-{self.method}-seed{self.seed}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`workload` is any of the model that is compared on; `images` calibrate; `limit` test images judge, and
    `integer_images` of them are run on integers too (None: all). teacher, root: as `ptq.calibrate` takes them."""

    workload: Workload
    methods: tuple[str, ...]
    bits: tuple[Bits, ...]
    seeds: tuple[int, ...] = (0,)
    images: int = 32
    teacher: Path | str | None = None
    root: Path | None = None
    limit: int | None = None
    integer_images: int | None = None
    changes: tuple[tuple[str, str], ...] = ()
    """Of methods: (METHOD.KEY, text), as `ptq.calibrate` takes KEY."""

    def __post_init__(self) -> None:
        for key in ("methods", "bits", "seeds"):
            values = getattr(self, key)
            if not values:
                raise HwsimError(f"{key}: at least one must be given, got none; see `hwsim compare --help`")
            for value in values:
                if values.count(value) > 1:
                    raise HwsimError(f"{key}: each must be given once, got {value} twice; leave one out")
        for name in self.methods:
            if not methods.find(name).stages:
                known = ", ".join(settings.post_training()) or "none"
                raise HwsimError(
                    f"{name}: a method to compare must be a post-training one, got one that is trained; use `hwsim train "
                    f"--method {name}`, or one of {known}"
                )
        for bits in self.bits:
            if bits.is_float:
                raise HwsimError("bits: must be 8 or less on one side, got W32A32; the float model is there anyway")
        for seed in self.seeds:
            if not 0 <= seed <= settings.MOST_SEED:
                raise HwsimError(f"seeds: must be 0..{settings.MOST_SEED}, got {seed}; give smaller ones")
        for key, text in self.changes:
            if key.partition(".")[0] not in self.methods:
                known = ", ".join(self.methods)
                raise HwsimError(f"--set: must read METHOD.KEY=VALUE, METHOD one of {known}, got {key}={text}")
        for name in self.methods:
            settings.changed(methods.find(name), self.changes_of(name))

    @property
    def runs(self) -> tuple[Run, ...]:
        """Seed by seed and width by width, so that a comparison that is stopped has whole ones."""
        return tuple(Run(m, b, s) for s in self.seeds for b in self.bits for m in self.methods)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all files of records, without their suffix."""
        return (FLOAT, STUDY, *(run.name for run in self.runs))

    @property
    def model(self) -> str:
        """The model's name."""
        return self.workload.model.name

    def workload_of(self, run: Run) -> Workload:
        """What `run` quantizes, by its method."""
        return workloads.find(f"{self.model}_{run.bits.name}_{run.method}")

    def floating(self) -> Workload:
        """The float model as a workload."""
        return workloads.find(f"{self.model}_w32a32")

    def changes_of(self, method: str) -> dict[str, str]:
        """What is changed of `method`: KEY and text."""
        split = ((*key.partition("."), text) for key, text in self.changes)
        return {key: text for name, _, key, text in split if name == method}

    def command(self, run: Run | None = None) -> str:
        """The command line that makes the file of `run`, or what all of them share."""
        options: dict[str, object] = {"workload": self.model}
        if run is not None:
            options |= {"methods": run.method, "bits": run.bits.name, "seeds": run.seed}
        options |= {"images": self.images, "teacher": self.teacher, "data": self.root}
        options |= {"limit": self.limit, "integer-images": self.integer_images}
        said = [f" --{key} {value}" for key, value in options.items() if value is not None]
        if run is not None:
            said += [f" --set {run.method}.{key}={text}" for key, text in self.changes_of(run.method).items()]
        return f"hwsim compare{''.join(said)}"


def reasons(comparison: Comparison) -> dict[tuple[str, Bits], str]:
    """Of the methods and widths that do not go together, why: found by building the model without numbers."""
    found = {}
    for run in (run for run in comparison.runs if run.seed == comparison.seeds[0]):
        try:
            builder.skeleton(comparison.workload_of(run))
        except UnknownName:
            raise
        except (HwsimError, ValueError) as error:
            found[run.method, run.bits] = f"{run.method}: {run.bits}: {error}"
    return found


def judging(workload: Workload, root: Path | None) -> str:
    """The split that judges: `test`, or `validation` where a data set has no test images with labels."""
    return next((split for split in ("test", "validation") if split in data.splits(workload, root)), "test")
