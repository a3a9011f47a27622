"""`calibrate`: from a float model and some images to a quantized one, by the stages of a post-training method.

A stage goes through the units of the model in order, and does its steps to each. Before it, the float teacher runs the
unit, which gives the target; behind it, the student does, which gives what the next unit gets. What is stored between
units lies on disk beside the checkpoint, and after each unit the student is, too (`state`), so that a calibration
that was stopped goes on with the next one, to the same result.
"""

import json
import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from qmodels import checkpoint, data, models
from qmodels import method as methods
from qmodels.allocation import for_budget
from qmodels.allocation_report import Report
from qmodels.ptq import images as chosen_images
from qmodels.ptq import settings as all_settings
from qmodels.ptq import state, weights
from qmodels.ptq.cut import Cut, cuts
from qmodels.ptq.partial import Partial, passing
from qmodels.ptq.settings import Settings
from qmodels.ptq.state import Place
from qmodels.ptq.stream import Stream
from qmodels.ptq.unit import Unit
from qmodels.quantizer import Quantizer
from qmodels.sources import Source, sources
from workloads.workload import Workload


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a calibration is: `share` of it is done; in which stage of how many, and unit."""

    share: float
    stage: int
    stages: int
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came out: the model in eval mode, its workload, wall seconds, and the largest memory the process has had.

    notes: figures that steps found, as STAGE/UNIT/NAME (`3/blocks.0/reconstruct_after`). allocation:
    the widths that were chosen within a budget, where one was given.
    """

    model: nn.Module
    workload: Workload
    settings: Settings
    seconds: float
    peak_bytes: int
    notes: Mapping[str, float]
    allocation: Report | None = None


def calibrate(
    workload: Workload | str,
    *,
    out: Path,
    method: str | None = None,
    preset: str = methods.DEPLOYABLE,
    changes: Mapping[str, str] | None = None,
    images: int = 32,
    sample: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    teacher: Path | str | None = None,
    root: Path | None = None,
    layer_bits: Mapping[str, tuple[int, int]] | None = None,
    budgets: Mapping[str, float] | None = None,
    candidates: Sequence[int] | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] = lambda p: None,
) -> Outcome:
    """Calibrate `workload` by its method or `method`, and write the checkpoint `out`.

    teacher: the file of a float checkpoint, `pretrained` (timm's weights), `random`, or None: the shipped one. root: the
    folder of a data set of images. layer_bits: (a_bits, w_bits) of products that have widths of their own. budgets: `size_mb`
    or `bops_g`, within which widths are chosen for each attention and MLP among `candidates` (`qmodels.allocation`). Raises
    HwsimError, saying what to change, for all that cannot be.
    """
    settings = all_settings.resolve(
        workload, method=method, preset=preset, changes=changes, images=images, sample=sample, batch=batch, seed=seed
    )
    job = _Job(settings, out, teacher, root, layer_bits or {}, progress, budgets or {}, candidates)
    place = job.resumed() if resume else Place()
    begun = time.perf_counter() - place.seconds
    try:
        for stage in range(place.stage, len(settings.method.stages)):
            job.run(stage, place.unit if stage == place.stage else 0, begun)
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)
    seconds = time.perf_counter() - begun
    _need_calibrated(job.student)
    extra = {key: str(value) for key, value in (("images", images), ("seed", seed), ("seconds", round(seconds, 1)))}
    checkpoint.save(job.student, settings.workload.name, out, {**extra, **job.metadata()})
    state.path_of(out).unlink(missing_ok=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Outcome(job.student, settings.workload, settings, seconds, peak, job.notes, job.allocation)


class _Job:
    """A calibration: student, teacher, units and streams."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        teacher: Path | str | None,
        root: Path | None,
        layer_bits: Mapping[str, tuple[int, int]],
        progress: Callable[[Progress], None],
        budgets: Mapping[str, float] | None = None,
        candidates: Sequence[int] | None = None,
    ) -> None:
        self.settings, self.out, self.layer_bits, self.progress = settings, out, dict(layer_bits), progress
        self.image = models.image_of(settings.workload.model)
        self.teacher = weights.twin(settings.workload, settings.method, teacher)
        self.images = chosen_images.choose(data.batches(settings.workload, "train", root), settings)
        self.allocation: Report | None = None
        if budgets:
            self._allocate(budgets, candidates)
        self.student = weights.student(settings.workload, settings.method, self.teacher, self.layer_bits)
        self.cuts: tuple[Cut, ...] = cuts(self.student, self.image)
        self.partial = Partial(self.cuts, self.image)
        self.folder = out.with_name(f"{out.name}.work")
        self.notes: dict[str, float] = {}
        self._found: Mapping[str, Source] | None = None

    def _allocate(self, budgets: Mapping[str, float], candidates: Sequence[int] | None) -> None:
        """Choose the widths of attentions and MLPs within `budgets`, on the images that grids are searched on."""
        if self.layer_bits:
            raise HwsimError("budget: widths are chosen within it, got widths too; leave one out")
        workload, method = self.settings.workload, self.settings.method
        sample = torch.cat(list(replace(self.images, indices=self.images.indices[: self.settings.sample])))
        self.layer_bits, self.allocation = for_budget(
            workload,
            method,
            self.teacher,
            sample,
            size_mb=budgets.get("size_mb"),
            bops_g=budgets.get("bops_g"),
            candidates=candidates,
            progress=lambda done, total: self.progress(
                Progress(0.0, 0, len(method.stages), f"widths, {done} of {total}")
            ),
        )

    def metadata(self) -> dict[str, str]:
        """What the checkpoint says of how it was made, so that it can be built again."""
        changed = methods.difference(self.settings.method)
        return {"switches": json.dumps(changed, sort_keys=True)} if changed else {}

    def resumed(self) -> Place:
        """Where the state beside the checkpoint is, which the student then has; the beginning where there is none."""
        path = state.path_of(self.out)
        if not path.exists():
            return Place()
        place = state.read(path, self.identity(), self.student)
        self.notes.update(place.notes)
        return place

    def identity(self) -> dict[str, str]:
        """All that decides the result."""
        own = {"layer_bits": json.dumps(self.layer_bits, sort_keys=True)} if self.layer_bits else {}
        return {**self.settings.identity(), **self.metadata(), **own, "teacher": weights.digest(self.teacher)}

    def run(self, stage: int, done: int, begun: float) -> None:
        """Stage `stage` from the unit `done` on; what leads there is made again."""
        streams = {kind: self._images(f"{kind}-{stage}") for kind in ("float", "quantized")}
        for index, cut in enumerate(self.cuts):
            self._tell(stage, index)
            target = self._next(f"float-{stage}-{index}")
            self._through(self.teacher, index, streams["float"], target)
            if index >= done:
                unit = self._unit(stage, index, streams, target)
                for step in self.settings.method.stages[stage]:
                    step.run(unit)
                place = Place(stage, index + 1, time.perf_counter() - begun, self.notes)
                if index + 1 == len(self.cuts):
                    place = Place(stage + 1, 0, place.seconds, self.notes)
                state.write(state.path_of(self.out), self.identity(), place, self.student)
            behind = self._next(f"quantized-{stage}-{index}")
            if cut.module:
                self._through(self.student, index, streams["quantized"], behind)
            for old in streams.values():
                old.remove()
            streams = {"float": target, "quantized": behind}
        for old in streams.values():
            old.remove()
        self._tell(stage + 1, 0)

    def _unit(self, stage: int, index: int, streams: Mapping[str, Stream], target: Stream) -> Unit:
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + stage * 1009 + index)
        return Unit(
            self.cuts[index],
            index,
            self.student,
            self.teacher,
            self.partial,
            self.settings,
            self._sources,
            streams,
            target,
            generator,
            lambda share: self._tell(stage, index, share),
            lambda name, figure: self.notes.update({f"{stage + 1}/{self.cuts[index].name}/{name}": figure}),
        )

    def _sources(self) -> Mapping[str, Source]:
        """The LayerNorms before quantizers, as the student was built: steps change no wiring."""
        if self._found is None:
            fresh = weights.student(self.settings.workload, self.settings.method, None, self.layer_bits)
            self._found = sources(fresh, self.image)
        return self._found

    def _tell(self, stage: int, unit: int, share: float = 0.0) -> None:
        stages, units = len(self.settings.method.stages), len(self.cuts)
        name = self.cuts[unit].name if stage < stages else ""
        self.progress(Progress((stage * units + unit + share) / (stages * units), min(stage + 1, stages), stages, name))

    def _next(self, name: str) -> Stream:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Stream(self.folder / f"{name}.npy", self.settings.images, self.settings.batch)

    def _images(self, name: str) -> Stream:
        """The calibration images as a stream; raises HwsimError where a value is not finite."""
        stream = self._next(name)
        for part in self.images:
            stream.put(part)
        return stream

    @torch.no_grad()
    def _through(self, model: nn.Module, index: int, given: Stream, behind: Stream) -> None:
        """Put what unit `index` of `model` makes of `given` into `behind`."""
        with passing(model):
            for part in given:
                result = self.partial.run(model, index, part)
                if not torch.isfinite(result).all():
                    raise HwsimError(
                        f"{self.cuts[index].name}: activations must be finite, got {_first_bad(result)}; check the weights"
                    )
                behind.put(result)


def _first_bad(values: Tensor) -> float:
    return float(values[~torch.isfinite(values)][0])


def _need_calibrated(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, Quantizer) and not module.calibrated:
            raise AssertionError(f"{name}: no step of the method has calibrated it")
