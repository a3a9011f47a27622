"""What a quantized model is worth beside its float teacher, as records: predictions, integers, memory, operations, units.

Models run in float64, as in `verification`: in float32 a value next to the boundary of two codes may take the other one,
and then a prediction differs now and then though no integer does. Metrics, all on the same test images:

    method_accuracy         tags split (`test`: of the fake-quant model, `integer`: of the integer simulator), images
    method_kl_divergence    KL(teacher || model) of predictions in nat, mean over images
    method_agreement        share of images on which both predict one class
    method_codes, method_mismatches    codes compared with the simulator's, and those that differ; tag mode (`verification`)
    method_size             bytes of weights at their bits, floats at 32, scales and zero points; node `extras`: these alone
    method_operations       of one image, tag convention
    method_unit             node an extra unit (`hwsim.cost.units`): its actions for one image; tags nodes, charged
    method_shifts_only      1 where every requantization is a shift, else 0
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.cost.storage import extra_bytes, parameter_bytes
from hwsim.cost.table import tally
from hwsim.cost.units import extra_units, requantizes_by_shift
from hwsim.cost.work import work
from hwsim.graph import Graph
from hwsim.record import Record
from qmodels.comparison import LogitSums
from qmodels.data import Batches
from qmodels.verification import verify

CONVENTION = "bitops_wa"
"""The rule by which operations are counted: bits of weights x bits of activations x MACs."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """The test images, and the float teacher's logits (images, classes) of them; integers are run on
    `integer_images` of them, spread evenly, by `threads`."""

    batches: Batches
    logits: Tensor
    integer_images: int
    threads: int | None = 1

    @classmethod
    @torch.no_grad()
    def of(cls, teacher: nn.Module, batches: Batches, integer_images: int | None = None) -> "Judge":
        """By `teacher`, in eval mode."""
        exact = copy.deepcopy(teacher).double()
        logits = torch.cat([exact(images.double()) for images, _ in batches])
        return cls(batches, logits, min(batches.images, integer_images or batches.images))

    def judged(self, model: nn.Module, graph: Graph, workload: str) -> Iterator[Record]:
        """All there is to say of `model`, whose graph is `graph`, mixed form."""
        yield from self.predicted(model, workload)
        yield from self.in_integers(model, graph, workload)
        yield from costs(graph, workload)

    @torch.no_grad()
    def predicted(self, model: nn.Module, workload: str) -> Iterator[Record]:
        """The records of its predictions."""
        sums, start, exact = LogitSums(), 0, copy.deepcopy(model).double()
        for images, labels in self.batches:
            wanted = self.logits[start : start + len(images)]
            sums.add(exact(images.double()).numpy(), wanted.numpy(), labels.numpy())
            start += len(images)
        found = sums.result()
        share = found.correct / found.images
        yield _measured(workload, "method_accuracy", share, "fraction", split="test", images=found.images)
        yield _measured(workload, "method_kl_divergence", found.kl, "nat")
        yield _measured(workload, "method_agreement", found.agreeing / found.images, "fraction")

    def in_integers(self, model: nn.Module, graph: Graph, workload: str) -> Iterator[Record]:
        """The records of its integers beside fake quant in float64."""
        report = verify(model, graph, self.batches.spread(self.integer_images), threads=self.threads)
        right = report.correct_integer / report.images
        yield _measured(workload, "method_accuracy", right, "fraction", split="integer", images=report.images)
        for mode in report.modes:
            yield _measured(workload, "method_codes", report.compared(mode), "codes", mode=mode)
            yield _measured(workload, "method_mismatches", report.mismatched(mode), "codes", mode=mode)


def costs(graph: Graph, workload: str) -> Iterator[Record]:
    """The records of what `graph` costs by the cost model."""
    rows = work(graph)
    yield Record(workload, "method_size", parameter_bytes(rows) + extra_bytes(rows), "byte")
    yield Record(workload, "method_size", extra_bytes(rows), "byte", "extras")
    table = tally(rows, CONVENTION)
    yield Record(workload, "method_operations", table.total, table.unit, tags=(("convention", CONVENTION),))
    yield Record(workload, "method_shifts_only", int(requantizes_by_shift(graph)), "")
    for unit in extra_units(graph):
        tags = (("nodes", str(unit.nodes)), ("charged", unit.charged))
        yield Record(workload, "method_unit", unit.times, "action", unit.name, tags=tags)


def _measured(workload: str, metric: str, value: float, unit: str, **tags: object) -> Record:
    said = tuple((key, str(text)) for key, text in tags.items())
    return Record(workload, metric, value, unit, source="measured", tags=said)
