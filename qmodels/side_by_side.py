"""Post-training methods side by side: one model, the same calibration images for all, one judge, one cost model.

A comparison is a list of runs, one per method, width and seed; the seed draws the calibration images, so that those of one
seed are the same for all methods. Each run leaves a file of records in the folder, whole or not at all, and its model in
`checkpoints/`; `float.jsonl` is of the float teacher, `reconstruction.jsonl` of the quantizers alone
(`reconstruction_study`). What is done is not done again, what was killed goes on behind its last unit, and several
processes may work on one folder (`run_files`). A method that does not define a width has a record that says so instead.

Tags of each record: label (the method), method, preset, seed, place (in the comparison), wbits, abits, and changes (of the
method, where there are some). Metrics are those of
`judge`, and:

    run                     the command line that makes this file alone (text)
    method_seconds          of the calibration, by the clock
    method_peak             most bytes resident in the process during it; tags before: those when it began, exact
    method_undefined        why the method does not define the width (text)
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import nn

from hwsim.errors import BadFile, HwsimError
from hwsim.record import Record, read_records, write_records
from qmodels import checkpoint, data, ptq, run_files
from qmodels import method as methods
from qmodels.contest import FLOAT, STUDY, Comparison, Run, judging, reasons
from qmodels.data import Batches
from qmodels.evidence import skeleton_of, trace_model
from qmodels.judge import Judge, costs
from qmodels.peak_memory import Peak
from qmodels.ptq import images, state, weights
from qmodels.ptq.images import Images
from qmodels.ptq.settings import Settings
from qmodels.reconstruction_study import study
from workloads.bits import Bits
from workloads.workload import Workload


@dataclass(frozen=True, slots=True)
class Progress:
    """`name` is in progress, `done` of `files` are finished; of this one a `share` is, 0..1."""

    name: str
    done: int
    files: int
    share: float
    note: str = ""


class Calibrated(Protocol):
    """What a calibration gives back."""

    @property
    def seconds(self) -> float:
        """By the clock."""

    @property
    def peak(self) -> Peak:
        """Of its memory."""


Calibrate = Callable[..., Calibrated]
"""`ptq.calibrate`, or what stands in for it: it writes the checkpoint `out`."""
Tell = Callable[[float, str], None]


def path_of(name: str, folder: Path) -> Path:
    """The file of the records called `name`."""
    return folder / f"{name}.jsonl"


def finished(comparison: Comparison, folder: Path) -> dict[str, tuple[Record, ...]]:
    """The records of each file that is done, by its name; raises BadFile for one that was made otherwise.

    One row of a table is of one setting: runs of a method of other seeds and widths must be changed as these are.
    """
    for method in comparison.methods:
        wanted = _told(comparison.changes_of(method))
        for path in sorted(folder.glob(f"*-{method}-seed*.jsonl")):
            made = next((r.tag("changes") for r in read_records(path) if r.metric == run_files.METRIC), "")
            if made != wanted:
                raise BadFile(
                    f"{path}: must be of {method} with {wanted or 'its own settings'}, got {made or 'its own settings'}; "
                    "give the same --set, or choose another --out"
                )
    commands = dict.fromkeys((FLOAT, STUDY), comparison.command())
    commands |= {run.name: comparison.command(run) for run in comparison.runs}
    found = {name: run_files.records_of(path_of(name, folder), made, "make it") for name, made in commands.items()}
    return {name: records for name, records in found.items() if records is not None}


def compare(
    comparison: Comparison,
    folder: Path,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    calibrate: Calibrate = ptq.calibrate,
    threads: int | None = 1,
) -> Iterator[tuple[str, tuple[Record, ...]]]:
    """Do what is not done yet, and yield the name of each file with its records when they are written.

    threads: of the integer simulator. Raises HwsimError where no method defines any of the widths.
    """
    finished(comparison, folder)
    undefined = reasons(comparison)
    if len(undefined) == len(comparison.methods) * len(comparison.bits):
        raise HwsimError(next(iter(undefined.values())))
    maker = _Maker(comparison, folder, calibrate, undefined, threads)
    maker.chosen()  # there are as many
    names = comparison.names
    for name in names:
        with run_files.claimed(path_of(name, folder)) as free:
            if not free:
                continue
            done = sum(path_of(other, folder).exists() for other in names)

            def tell(share: float, note: str, name: str = name, done: int = done) -> None:
                progress(Progress(name, done, len(names), share, note))

            tell(0.0, "")
            records = tuple(maker.make(name, tell))
            write_records(records, path_of(name, folder))
            yield name, records


@dataclass(slots=True, eq=False)
class _Maker:
    """Makes the records of each file; teacher and judge are made when they are first needed."""

    comparison: Comparison
    folder: Path
    calibrate: Calibrate
    undefined: dict[tuple[str, Bits], str]
    threads: int | None
    _teacher: nn.Module | None = None
    _judge: Judge | None = None
    _runs: dict[str, Run] = field(init=False)

    def __post_init__(self) -> None:
        self._runs = {run.name: run for run in self.comparison.runs}

    def make(self, name: str, tell: Tell) -> Iterator[Record]:
        """The records of the file `name`."""
        run, comparison = self._runs.get(name), self.comparison
        workload = comparison.floating() if run is None else comparison.workload_of(run)
        rows = [Record(workload.name, run_files.METRIC, comparison.command(run), "")]
        if name == STUDY:
            batch = next(iter(self.chosen()))
            said = (("images", str(len(batch))), ("seed", str(comparison.seeds[0])))
            rows += [_tagged(r, said) for r in study(self.teacher, batch, comparison.model, _shares(tell))]
        elif run is None:
            rows += self.judge.predicted(self.teacher, workload.name)
            rows += costs(skeleton_of(workload), workload.name)
        elif (run.method, run.bits) in self.undefined:
            rows.append(Record(workload.name, "method_undefined", self.undefined[run.method, run.bits], ""))
        else:
            rows += self._of(run, workload, tell)
        return iter(rows if name == STUDY else [_tagged(record, self._tags(run)) for record in rows])

    def _of(self, run: Run, workload: Workload, tell: Tell) -> Sequence[Record]:
        """Calibrate and judge `run`; what is judged is what the checkpoint holds."""
        own, out = self.comparison, self.folder / "checkpoints" / f"{run.name}.safetensors"
        judge = self.judge  # before the calibration, so that it has no part in its peak
        with _going_on(out):
            outcome = self.calibrate(
                workload,
                out=out,
                method=run.method,
                changes=own.changes_of(run.method),
                images=own.images,
                seed=run.seed,
                teacher=own.teacher,
                root=own.root,
                resume=True,
                progress=lambda p: tell(p.share, f"calibrating, {p.unit}" if p.unit else ""),
            )
        peak = outcome.peak
        tell(1.0, "judging")
        model, workload = checkpoint.load(out)
        tags = (("before", str(peak.before)), ("exact", str(peak.exact).lower()))
        return [
            Record(workload.name, "method_seconds", round(outcome.seconds, 2), "s", source="measured"),
            Record(workload.name, "method_peak", peak.bytes, "byte", source="measured", tags=tags),
            *judge.judged(model, trace_model(model, workload), workload.name),
        ]

    @property
    def teacher(self) -> nn.Module:
        """The float model, its products as modules, in eval mode."""
        if self._teacher is None:
            quantized = self.comparison.workload_of(self.comparison.runs[0])  # which says whose weights it starts from
            method = methods.find(self.comparison.floating().method)
            self._teacher = weights.twin(quantized, method, self.comparison.teacher)
        return self._teacher

    @property
    def judge(self) -> Judge:
        """The judge of all runs."""
        if self._judge is None:
            made = Judge.of(self.teacher, self._test_images(), self.comparison.integer_images)
            self._judge = dataclasses.replace(made, threads=self.threads)
        return self._judge

    def _test_images(self) -> Batches:
        own = self.comparison
        return data.batches(own.workload, judging(own.workload, own.root), own.root, own.limit)

    def chosen(self) -> Images:
        """The calibration images of the first seed; raises HwsimError where there are fewer."""
        own, workload = self.comparison, self.comparison.floating()
        made = Settings(workload, methods.find(workload.method), own.images, seed=own.seeds[0])
        return images.choose(data.batches(own.workload, "train", own.root), made)

    def _tags(self, run: Run | None) -> tuple[tuple[str, str], ...]:
        if run is None:
            said = {"label": FLOAT, "seed": 0, "place": -1, "wbits": 32, "abits": 32}
        else:
            found = methods.find(run.method)
            said = {"label": run.method, "method": found.name, "preset": found.preset, "seed": run.seed}
            said |= {"place": self.comparison.methods.index(run.method)}
            said |= {"wbits": run.bits.weights, "abits": run.bits.activations}
            if changed := self.comparison.changes_of(run.method):
                said |= {"changes": _told(changed)}
        return tuple((key, str(value)) for key, value in said.items())


@contextmanager
def _going_on(out: Path) -> Iterator[None]:
    """Within, an error of the state that goes on to `out` has the remedy that a comparison has."""
    try:
        yield
    except BadFile as error:
        said, path = str(error), str(state.path_of(out))
        if not said.startswith(f"{path}: "):
            raise
        raise BadFile(f"{said.rpartition('; ')[0]}; compare as it was begun, or remove {path}") from None


def _told(changes: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={text}" for key, text in changes.items())


def _tagged(record: Record, tags: tuple[tuple[str, str], ...]) -> Record:
    return dataclasses.replace(record, tags=tuple({**dict(record.tags), **dict(tags)}.items()))


def _shares(tell: Tell) -> Callable[[int, int], None]:
    return lambda done, total: tell(done / total, "quantizers")
