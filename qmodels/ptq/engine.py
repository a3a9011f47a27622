"""`calibrate`: from a float model and some images to a quantized one, by the stages of a post-training method.

A stage goes through the units of the model in order, and does its steps to each. Before it, the float teacher runs the
unit, which gives the target; behind it, the student does, which gives what the next unit gets. What is stored between
units lies on disk beside the checkpoint, and after each unit the student is, too (`state`), so that a calibration
that was stopped goes on with the next one, to the same result.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError, IllegalModel
from qmodels import checkpoint, data, models
from qmodels import method as methods
from qmodels.allocation import for_budget
from qmodels.allocation_report import Report
from qmodels.identity import TEACHER, digest
from qmodels.peak_memory import Peak, peak_memory
from qmodels.ptq import images as chosen_images
from qmodels.ptq import settings as all_settings
from qmodels.ptq import state, weights
from qmodels.ptq.cut import Cut, cuts
from qmodels.ptq.independent import independent
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
    """What came out: the model in eval mode, its workload, wall seconds, and the most memory that was resident meanwhile.

    seconds: the width allocation included, and what earlier processes took of a calibration that was stopped. notes:
    figures that steps found, as STAGE/UNIT/NAME (`3/blocks.0/reconstruct_after`). allocation: the widths that were chosen
    within a budget, where one was given. resumed: whether it went on from a state.
    """

    model: nn.Module
    workload: Workload
    settings: Settings
    seconds: float
    peak: Peak
    notes: Mapping[str, float]
    allocation: Report | None = None
    resumed: bool = False


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
    or `bops_g`, within which widths are chosen for each attention and MLP among `candidates` (`qmodels.allocation`). resume:
    go on from the state beside `out`, where there is one. Raises HwsimError, saying what to change, for all that cannot be.
    """
    begun = time.perf_counter()
    settings = all_settings.resolve(
        workload, method=method, preset=preset, changes=changes, images=images, sample=sample, batch=batch, seed=seed
    )
    with state.claimed(out):
        with peak_memory() as peak:
            job = _Job(settings, out, teacher, root, layer_bits or {}, progress, budgets or {}, candidates)
            kept = job.resumed() if resume else None
            place = kept or Place()
            begun -= place.seconds
            for stage in range(place.stage, len(settings.method.stages)):
                job.run(stage, place.unit if stage == place.stage else 0, begun)
            seconds = time.perf_counter() - begun
        for cut in job.cuts:
            job.need_calibrated(cut)
        extra = {key: str(value) for key, value in (("images", images), ("seed", seed), ("seconds", round(seconds, 1)))}
        extra["calibration"] = json.dumps(job.identity, sort_keys=True)
        if teacher is not None:
            extra[TEACHER] = digest(job.teacher)
        checkpoint.save(job.student, settings.workload.name, out, {**extra, **job.metadata()})
        state.path_of(out).unlink(missing_ok=True)
    done = kept is not None
    return Outcome(job.student, settings.workload, settings, seconds, peak, job.notes, job.allocation, done)


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
        two = torch.cat(list(self.images.first(2)))
        self.cuts: tuple[Cut, ...] = independent(cuts(self.student, self.image), self.teacher, two)
        self.need_units()
        self.partial = Partial(self.cuts, self.image)
        self.notes: dict[str, float] = {}
        self.identity = self._identity()
        self._stored: Stream | None = None
        self._found: Mapping[str, Source] | None = None

    def _allocate(self, budgets: Mapping[str, float], candidates: Sequence[int] | None) -> None:
        """Choose the widths of attentions and MLPs within `budgets`, on the images that grids are searched on."""
        if self.layer_bits:
            raise HwsimError("budget: widths are chosen within it, got widths too; leave one out")
        workload, method = self.settings.workload, self.settings.method
        sample = torch.cat(list(self.images.first(self.settings.sample)))
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

    def resumed(self) -> Place | None:
        """Where the state beside the checkpoint is, which the student then has; None where there is none."""
        path = state.path_of(self.out)
        if not path.exists():
            return None
        place = state.read(path, self.identity, self.student)
        self.notes.update(place.notes)
        return place

    def _identity(self) -> dict[str, str]:
        """All that decides the result."""
        own = {"layer_bits": json.dumps(self.layer_bits, sort_keys=True)} if self.layer_bits else {}
        made = {"teacher": digest(self.teacher), "data": self.images.fingerprint(), "units": str(len(self.cuts))}
        return {**self.settings.identity(), **self.metadata(), **own, **made}

    def need_units(self) -> None:
        """Raise IllegalModel for a quantizer that is of no unit, since the model does not run it."""
        held = {path for cut in self.cuts for path, _ in self._quantizers(cut)}
        for name, module in self.student.named_modules():
            if isinstance(module, Quantizer) and name not in held:
                raise IllegalModel(
                    f"{name}: must be run by the model for a calibration to find its grid, got one that is not; take its "
                    "layer out of the model"
                )

    def need_calibrated(self, cut: Cut) -> None:
        """Raise HwsimError for a quantizer of the unit that has no grid, behind the last stage."""
        for path, quantizer in self._quantizers(cut):
            if not quantizer.calibrated:
                method = self.settings.method
                steps = ", ".join(dict.fromkeys(step.name for stage in method.stages for step in stage))
                raise HwsimError(
                    f"{path}: must get its grid from a step of {method.name}, got none from {steps}; "
                    "leave out --set that changes this quantizer, or choose another method"
                )

    def _quantizers(self, cut: Cut) -> Iterator[tuple[str, Quantizer]]:
        """All quantizers of a unit, of weights too, by path."""
        for path in (*cut.quantizers, *cut.sites):
            for name, module in self.student.get_submodule(path).named_modules(prefix=path):
                if isinstance(module, Quantizer):
                    yield name, module

    def run(self, stage: int, done: int, begun: float) -> None:
        """Stage `stage` from the unit `done` on; what leads there is made again."""
        images = self._images()
        streams = {"float": images, "quantized": images}
        for index, cut in enumerate(self.cuts):
            self._tell(stage, index)
            target = self._next()
            self._through(self.teacher, index, streams["float"], target)
            if index >= done:
                unit = self._unit(stage, index, streams, target)
                for step in self.settings.method.stages[stage]:
                    step.run(unit)
                if stage + 1 == len(self.settings.method.stages):
                    self.need_calibrated(cut)
                place = Place(stage, index + 1, time.perf_counter() - begun, self.notes)
                if index + 1 == len(self.cuts):
                    place = Place(stage + 1, 0, place.seconds, self.notes)
                state.write(state.path_of(self.out), self.identity, place, self.student)
            behind = self._next()
            if cut.module:
                self._through(self.student, index, streams["quantized"], behind)
            for old in streams.values():
                if old is not images:
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

    def _next(self) -> Stream:
        return Stream(self.out.parent, self.settings.images, self.settings.batch)

    def _images(self) -> Stream:
        """The calibration images as a stream, read once; raises HwsimError where a value is not finite."""
        if self._stored is None:
            self._stored = self._next()
            for part in self.images:
                self._stored.put(part)
        return self._stored

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
