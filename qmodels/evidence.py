"""What the models have to show: a workload's graph, and the records of its agreement with the integer simulator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

import workloads
from hwsim.graph import Graph
from hwsim.lower import integerize
from hwsim.lower.ranges import Ranges, measure
from hwsim.lower.recipe import Recipe, find
from hwsim.op import Array
from hwsim.record import Record
from hwsim.spec import FLOAT_BITS
from qmodels import builder, data, identity, models, widths
from qmodels import checkpoint as checkpoints
from qmodels import method as methods
from qmodels.data import Batches
from qmodels.examiner import SHARD, Examiner, Finding, shards
from qmodels.folding import FoldReport, fold_input_scales, images_of
from qmodels.tracing import INPUT, need_quantized, trace
from qmodels.verification import VerifyReport
from qmodels.verify_records import flip_records, overflow_records, records_of
from qmodels.what_if import Arithmetic, WhatIf
from workloads.workload import Workload

Progress = Callable[[int, int], None]


def graph_of(workload: Workload, checkpoint: Path | None = None) -> Graph:
    """The graph of the workload's model, in mixed form."""
    return trace_model(builder.build(workload, checkpoint), workload)


def skeleton_of(workload: Workload) -> Graph:
    """The graph of the workload with random weights and scales of 1: all that a cost asks for, and quick."""
    return trace_model(builder.skeleton(workload), workload)


def trace_model(model: nn.Module, workload: Workload) -> Graph:
    """The graph of `model`, labelled with the workload that it is of; raises IllegalModel where a product was left float."""
    meta = {"workload": workload.name, "bits": str(workload.bits), "method": workload.method}
    graph = trace(model, torch.zeros(2, *models.image_of(workload.model)), workload.name, meta)
    floats = [name for name, pair in widths.of(model).items() if FLOAT_BITS in pair]
    need_quantized(graph, workload.bits, floats)
    return graph


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A workload's model, the mixed graph traced from it, and the graph to compare: that one, or an integer form of it."""

    workload: Workload
    model: nn.Module
    mixed: Graph
    graph: Graph
    settings: tuple[tuple[str, str], ...] = ()
    """What else made the integer form what it is, as tags."""
    lowering: tuple[Recipe, Ranges] | None = None
    """What the integer form was made from, besides the mixed one."""
    checkpoint: Path | None = None
    """The file that the model is from, where one was named."""
    folds: FoldReport | None = None
    """Of scales per input channel, where they were folded."""

    @property
    def other_grids(self) -> bool:
        """Whether scales that are powers of two gave the quantizers other grids than fake quant's."""
        return self.lowering is not None and self.lowering[0].power_of_two_scales

    @property
    def form(self) -> str:
        """`mixed` or `integer`."""
        return "mixed" if self.graph is self.mixed else "integer"

    @property
    def recipe(self) -> str:
        """Name of the recipe of the integer form, "" of the mixed."""
        return "" if self.graph is self.mixed else str(self.graph.meta["recipe"])

    def lowered(
        self,
        recipe: str | Path | Recipe,
        calibration: Tensor,
        threads: int | None = None,
        progress: Progress | None = None,
        *,
        residual_bits: int | None = None,
    ) -> "Subject":
        """The same model in integer form; scales come from `calibration` images (B, C, H, W), and the residual stream has
        `residual_bits` where the recipe's own are not wanted."""
        own = recipe if isinstance(recipe, Recipe) else find(recipe)
        chosen = own.changed(residual_bits=residual_bits)
        said = {"rounding": chosen.rounding, "calibration_images": str(len(calibration))}
        if chosen.residual_bits != own.residual_bits:
            said["residual_bits"] = str(chosen.residual_bits)
        ranges = measure(self.mixed, {INPUT: calibration.numpy()}, threads=threads, progress=progress)
        graph = integerize(self.mixed, chosen, ranges)
        return replace(self, graph=graph, settings=tuple(said.items()), lowering=(chosen, ranges))


def subject_of(workload: Workload, checkpoint: Path | None = None, fold: bool = False) -> Subject:
    """The workload's model and its mixed graph; with `fold`, layers with one scale per input channel are mended."""
    model = builder.build(workload, checkpoint)
    folds = fold_input_scales(model.double(), images_of(workload)) if fold else None
    graph = trace_model(model, workload)
    return Subject(workload, model, graph, graph, checkpoint=checkpoint, folds=folds)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What was seen of a subject: against float64 first, then against float32 where that was asked for."""

    subject: Subject
    reports: tuple[VerifyReport, ...]
    arithmetic: Arithmetic | None = None
    split: str = "test"

    @property
    def report(self) -> VerifyReport:
        """Against the fake-quant model in float64."""
        return self.reports[0]

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """What the records are labelled with, all that changes the numbers: bits, form and its settings, split, what-if."""
        subject = self.subject
        bits = subject.workload.bits
        said = {"abits": str(bits.activations), "wbits": str(bits.weights), "form": subject.form}
        own = widths.departing(subject.model, bits, methods.find(subject.workload.method))
        said.update({"layers": "mixed"} if own else {})
        said.update({"recipe": subject.recipe} if subject.recipe else {})
        said.update({"input_scales": "folded"} if subject.folds else {})
        said.update(subject.settings)
        said.update({"split": self.split} if self.split != "test" else {})
        said.update({"what_if": str(self.arithmetic.what_if)} if self.arithmetic else {})
        return tuple(said.items())

    def records(self) -> tuple[Record, ...]:
        """Every number, as records."""
        name, tags = self.subject.workload.name, self.tags
        rows = [record for report in self.reports for record in records_of(name, report, tags)]
        if self.arithmetic:
            rows += overflow_records(name, dict(self.arithmetic.overflows), tags)
            rows += flip_records(name, dict(self.arithmetic.flips), tags)
        return tuple(rows)


def gather(
    subject: Subject,
    batches: Batches,
    *,
    what_if: WhatIf | None = None,
    split: str = "test",
    threads: int | None = None,
    shard_images: int = SHARD,
    progress: Progress | None = None,
) -> Evidence:
    """Compare the subject with fake quant in float64, and in float32 too where it is the mixed form as it stands.

    split: which images `batches` are of, for the records. shard_images: see `examiner`.
    """
    examiner = examiner_of(subject, batches, what_if, threads)
    count = 0

    def advance(images: int) -> None:
        nonlocal count
        count += images
        if progress:
            progress(count, batches.images)

    findings = [examiner.examine(shard, advance) for shard in shards(batches.images, shard_images)]
    return evidence_of(subject, examiner, findings, split)


def examiner_of(subject: Subject, batches: Batches, what_if: WhatIf | None, threads: int | None) -> Examiner:
    """The examiner of the subject on these images."""
    teacher = teacher_of(subject.workload, subject.checkpoint)
    others = {"teacher": _logits(builder.build(teacher))} if teacher else {}
    mixed = subject.mixed if subject.form == "integer" else None
    return Examiner(subject.model, subject.graph, batches, mixed, what_if, others, threads)


def teacher_of(workload: Workload, checkpoint: Path | None = None) -> Workload | None:
    """The float teacher of `workload`, or the one that the file `checkpoint` names, where it is shipped with the very weights
    that were learned from: others are not known here."""
    said = checkpoints.read(checkpoint)[1] if checkpoint else {}
    name = said.get("teacher", workload.recipe.teacher)
    teacher = workloads.find(name) if name else None
    if teacher is None or builder.shipped(teacher) is None:
        return None
    weights = said.get(identity.TEACHER)
    return teacher if weights in (None, identity.digest(builder.build(teacher))) else None


def evidence_of(subject: Subject, examiner: Examiner, findings: Sequence[Finding], split: str) -> Evidence:
    """The evidence that the findings of all shards, in their order, are together."""
    return Evidence(subject, *examiner.joined(findings), split)


def agreement(
    workload: Workload,
    checkpoint: Path | None = None,
    *,
    root: Path | None = None,
    limit: int | None = None,
    split: str = "test",
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Record, ...]:
    """Integers (mixed form) against fake quant on the workload's images: accuracies, agreement, codes that differ."""
    batches = data.batches(workload, split, root, limit)
    subject = subject_of(workload, checkpoint)
    return gather(subject, batches, split=split, threads=threads, progress=progress).records()


def _logits(model: nn.Module) -> Callable[[Tensor], Array]:
    """The model's logits, as it stands, in float64."""

    def logits(images: Tensor) -> Array:
        with torch.no_grad():
            values: Array = model(images).double().numpy()
        return values

    return logits
