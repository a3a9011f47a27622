"""A suite of trainings that can be killed and goes on: each finished run is a file of records in a folder.

`FOLDER/RUN.jsonl` is written when a run has been trained and judged, whole or not at all; a run that has one is not
trained again. `FOLDER/checkpoints/RUN.safetensors` is its model, and beside it lies, until the records are written,
the state that a run which was killed goes on from, so that what a suite gives does not depend on how often it was
stopped. A file that was made by another command line than the suite's own is refused: nothing is overwritten, and
nothing is mixed. Several processes may work on one folder: a run that one of them has in hand is locked, and the
others pass it over.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from hwsim.record import Record, read_records, write_records
from qmodels import builder, checkpoint, data, run_files, run_records, training
from qmodels.evidence import trace_model
from qmodels.oscillation import Oscillation
from qmodels.run_records import Yardstick
from qmodels.training import settings, state
from qmodels.verification import verify
from workloads.suites import Run, Suite
from workloads.workload import Workload

EVERY = 25
"""Steps between states of a run that is in progress."""

MOMENTS = 25
"""Epochs of a run whose oscillation is kept, evenly spaced."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`run` is the one in progress, `done` of `runs` are finished; of this one `step` of `steps` are, and `note` says how it
    goes."""

    run: str
    done: int
    runs: int
    step: int
    steps: int
    note: str


def path_of(run: Run, folder: Path) -> Path:
    """The file of the records of `run`."""
    return folder / f"{run.name}.jsonl"


def finished(suite: Suite, folder: Path) -> dict[str, tuple[Record, ...]]:
    """The records of each run that is done, by its name; raises BadFile for one that was made otherwise."""
    found = {}
    for run in suite.runs:
        records = run_files.records_of(path_of(run, folder), run.command(), "train the run")
        if records is not None:
            found[run.name] = records
    return found


def train(
    suite: Suite,
    folder: Path,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    limit: int | None = None,
) -> Iterator[tuple[Run, tuple[Record, ...]]]:
    """Train the runs of `suite` that are not done yet, and yield each with its records when they are written.

    limit: judge on at most so many test images.
    """
    finished(suite, folder)
    yardsticks: dict[str, Yardstick] = {}
    for run in suite.runs:
        with run_files.claimed(path_of(run, folder)) as free:
            if not free:
                continue
            count = sum(path_of(other, folder).exists() for other in suite.runs)

            def tell(p: training.Progress, run: Run = run, count: int = count) -> None:
                step, note = (0, f"{p.note} {p.step} of {p.steps}") if p.before else (p.step, p.note)
                progress(Progress(run.name, count, len(suite.runs), step, p.steps, note))

            records = _one(run, suite, folder, yardsticks, tell, limit)
            write_records(records, path_of(run, folder))
            state.path_of(_checkpoint(run, folder)).unlink(missing_ok=True)
            yield run, records


def _checkpoint(run: Run, folder: Path) -> Path:
    return folder / "checkpoints" / f"{run.name}.safetensors"


def _one(
    run: Run,
    suite: Suite,
    folder: Path,
    yardsticks: dict[str, Yardstick],
    tell: Callable[[training.Progress], None],
    limit: int | None,
) -> tuple[Record, ...]:
    """Train and judge one run."""
    out = _checkpoint(run, folder)
    log = out.with_suffix(".log.jsonl")
    changes = dict(run.changes)
    metrics = training.train(
        run.workload,
        out=out,
        method=run.method,
        preset=run.preset,
        changes=changes,
        resume=True,
        every=EVERY,
        log=log,
        keep_state=True,
        progress=tell,
        observers=(Oscillation(),),
    )
    model, workload = checkpoint.load(out)
    recipe = settings.resolve(run.workload, method=run.method, preset=run.preset, changes=changes).recipe
    if recipe.teacher not in yardsticks:
        yardsticks[recipe.teacher] = Yardstick.of(workload, builder.build(recipe.teacher), limit)
    rows = run_records.records(run, suite.name, suite.runs.index(run), workload, model, yardsticks[recipe.teacher])
    seen = () if workload.bits.is_float else _of_integers(rows[0], workload, model, limit)
    return (*rows, *_of_training(rows[0], metrics), *_logged(rows[0], log), *seen)


def _of_integers(like: Record, workload: Workload, model: nn.Module, limit: int | None) -> Iterator[Record]:
    """What the integer simulator makes of the test images, beside the model in float64: `qmodels.verification`."""
    report = verify(model, trace_model(model, workload), *data.load(workload, "test", limit=limit), threads=1)
    yield _labelled(like, "run_accuracy", report.correct_integer / report.images, "fraction", {"split": "integer"})
    for mode in report.modes:
        yield _labelled(like, "run_codes", report.compared(mode), "codes", {"mode": mode})
        yield _labelled(like, "run_mismatches", report.mismatched(mode), "codes", {"mode": mode})


def _of_training(like: Record, metrics: training.Metrics) -> Iterator[Record]:
    """What the training says, labelled as the record `like`."""
    validation = metrics.accuracies.get("validation")
    if validation is not None:
        yield _labelled(like, "run_accuracy", validation, "fraction", {"split": "validation"})
    yield _labelled(like, "run_loss", metrics.loss, "nat")
    yield _labelled(like, "run_seconds", round(metrics.seconds, 1), "s")


def _logged(like: Record, log: Path) -> Iterator[Record]:
    """How many weights oscillated, of all weights together, after some of the epochs and after the last."""
    rows = [r for r in read_records(log) if r.metric == "oscillating" and not r.node]
    chosen = {round((len(rows) - 1) * i / (MOMENTS - 1)) for i in range(MOMENTS)}
    for i, record in enumerate(rows):
        if i in chosen:
            tags = {"epoch": record.tag("epoch"), "last": str(i == len(rows) - 1).lower()}
            yield _labelled(like, record.metric, record.value, record.unit, tags)


def _labelled(
    like: Record,
    metric: str,
    value: float | int | str,
    unit: str,
    tags: Mapping[str, str] | None = None,
    node: str = "",
) -> Record:
    said = tuple({**(tags or {}), **dict(like.tags)}.items())
    return Record(like.workload, metric, value, unit, source="measured", tags=said)
