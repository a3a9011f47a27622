"""What the models have to show: a workload's graph, and the records of its agreement with the integer simulator."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hwsim.graph import Graph
from hwsim.record import Record
from qmodels import builder, data
from qmodels.evaluation import accuracy
from qmodels.tracing import trace
from qmodels.verification import MODES, VerifyReport, verify
from workloads.workload import Workload

Progress = Callable[[int, int], None]
DTYPES = (torch.float64, torch.float32)


def graph_of(workload: Workload, checkpoint: Path | None = None) -> Graph:
    """The graph of the workload's model, in mixed form."""
    return trace_model(builder.build(workload, checkpoint), workload)


def skeleton_of(workload: Workload) -> Graph:
    """The graph of the workload with random weights and scales of 1: all that a cost asks for, and quick."""
    return trace_model(builder.skeleton(workload), workload)


def trace_model(model: nn.Module, workload: Workload) -> Graph:
    """The graph of `model`, labelled with the workload that it is of."""
    meta = {"workload": workload.name, "bits": str(workload.bits), "method": workload.method}
    return trace(model, torch.zeros(2, *workload.model.image), workload.name, meta)


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
    """Integers against fake quant on the workload's images: accuracies, agreement, and codes that differ, by node."""
    model = builder.build(workload, checkpoint)
    graph = trace_model(model, workload)
    images, labels = data.load(workload, split, root, limit)
    tags = (("abits", str(workload.bits.activations)), ("wbits", str(workload.bits.weights)))
    records: list[Record] = []
    for index, dtype in enumerate(DTYPES):

        def advance(done: int, total: int, base: int = index) -> None:
            if progress:
                progress(base * total + done, len(DTYPES) * total)

        report = verify(model, graph, images, labels, dtype=dtype, threads=threads, progress=advance)
        records += _codes(workload.name, report, tags)
        records += _accuracies(workload.name, report, tags)
    recipe = workload.recipe
    if recipe and recipe.teacher:
        teacher = accuracy(builder.build(recipe.teacher), images, labels)
        records.append(
            Record(workload.name, "accuracy_float_teacher", teacher, "fraction", source="measured", tags=tags)
        )
    return tuple(records)


def _accuracies(name: str, report: VerifyReport, tags: tuple[tuple[str, str], ...]) -> list[Record]:
    def share(metric: str, count: int) -> Record:
        return Record(name, metric, count / report.images, "fraction", source="measured", tags=tags)

    if report.dtype == "float32":
        return [share("accuracy_fake_quant_float32", report.correct_reference)]
    return [
        share("accuracy_fake_quant", report.correct_reference),
        share("accuracy_integer", report.correct_integer),
        share("prediction_agreement", report.agreeing),
        Record(name, "images", report.images, "image", source="measured", tags=tags),
    ]


def _codes(name: str, report: VerifyReport, tags: tuple[tuple[str, str], ...]) -> list[Record]:
    records = []
    for mode in MODES:
        both = tuple(sorted((*tags, ("mode", mode), ("dtype", report.dtype))))
        totals = {"codes_compared": report.compared(mode), "codes_mismatched": report.mismatched(mode)}
        records += [Record(name, key, value, "code", source="measured", tags=both) for key, value in totals.items()]
        first = report.first_diverging(mode)
        records.append(Record(name, "first_diverging_node", first, "node", source="measured", tags=both))
        for node in report.modes[mode]:
            for key, value in (("compared", node.compared), ("mismatched", node.mismatched)):
                records.append(
                    Record(name, f"node_codes_{key}", value, "code", node.node, source="measured", tags=both)
                )
    return records
