"""verify: the integer simulator against the fake-quant model, code by code.

The reference is the torch model itself (`reference.py`). The simulator runs the graph twice on the same images:
*free-running*, on its own values throughout, and *node by node*, where each quantizer's codes are compared and then
replaced by the reference's, so that a difference at one node is not counted again at the next.

The graph is the mixed form, or an integer form lowered from it. There a quantizer's codes are compared where both forms
give them one meaning, and only the reals where they do not. A what-if, in which nodes are run by other arithmetic
(`execute`: narrow accumulators, flipped bits), runs free alone, beside the graph as it is.

Images come in batches of at most BATCH, and sums are all that is kept of them.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.op import Array
from hwsim.simulator import Execute, as_codes, simulate
from hwsim.study.accumulators import Seen as SeenSums
from hwsim.study.accumulators import Width, widths
from qmodels.comparison import CodeCount, LogitSums, NodeAccumulator, NodeCodes, NodeReals, Predictions, RealSums
from qmodels.data import Batches
from qmodels.divergence import Divergence, capture
from qmodels.reference import Reference, Seen
from qmodels.tracing import INPUT

MODES = ("node_by_node", "free_running")
BATCH = 32
"""Images held at once: memory is bounded by this, not by the data set."""

Logits = Callable[[Tensor], Array]
"""Images (B, C, H, W) to logits (B, classes) in float64."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` saw.

    modes: for each of MODES that was run, the nodes whose codes were compared, in the order of the graph. reals: nearness
    and saturation of every quantizer of the model that the graph has too; absent: those that it has not. predictions:
    of the fake-quant model (`fake_quant`), of the graph (`integer`), of the mixed form beside an integer form (`mixed`),
    of the graph as it is beside a what-if (`exact`), and of what the caller added. accumulators: of every product of the
    graph. divergence: the first, node by node.
    """

    images: int
    dtype: str
    modes: dict[str, tuple[NodeCodes, ...]]
    reals: tuple[NodeReals, ...]
    absent: tuple[str, ...]
    predictions: dict[str, Predictions]
    accumulators: tuple[NodeAccumulator, ...] = ()
    divergence: Divergence | None = None

    @property
    def correct_reference(self) -> int:
        """Images that the fake-quant model classifies rightly."""
        return self.predictions["fake_quant"].correct

    @property
    def correct_integer(self) -> int:
        """Images that the graph classifies rightly."""
        return self.predictions["integer"].correct

    @property
    def agreeing(self) -> int:
        """Images that both put into one class."""
        return self.predictions["integer"].agreeing

    def compared(self, mode: str) -> int:
        """Codes compared in all."""
        return sum(node.compared for node in self.modes[mode])

    def mismatched(self, mode: str) -> int:
        """Codes that differ in all."""
        return sum(node.mismatched for node in self.modes[mode])

    def first_diverging(self, mode: str) -> str:
        """The first node, in the order of the graph, whose codes differ; "" where none does."""
        return next((node.node for node in self.modes[mode] if node.mismatched), "")


def verify(
    model: nn.Module,
    graph: Graph,
    images: Tensor | Batches,
    labels: Tensor | None = None,
    *,
    mixed: Graph | None = None,
    execute: Execute | None = None,
    others: Mapping[str, Logits] | None = None,
    dtype: torch.dtype = torch.float64,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Compare `model` with `graph`: codes, reals and predictions.

    images: (B, C, H, W) with labels (B,) for the accuracies, which are 0 without them; or Batches of both. mixed: the
    graph traced from the model, where `graph` was lowered from it. execute: what runs the nodes in a what-if, free
    running. others: further logits to be judged, by name. Raises IllegalModel where the model has no activation quantizer to
    compare, or one without a node in its traced graph.
    """
    batches = images if isinstance(images, Batches) else _batches(images, labels)
    if not batches.images:
        raise HwsimError(f"{graph.name}: images are needed to compare codes, got none; raise the limit")
    reference = Reference(model, mixed or graph, dtype)
    run = _Run(graph, reference, execute, threads)
    judged = dict(others or {})
    if mixed is not None:
        judged["mixed"] = lambda part: real_logits(mixed, part, threads)
    if execute is not None:
        judged["exact"] = lambda part: real_logits(graph, part, threads)
    for part, truth in batches:
        seen = reference.run(part)
        logits = {"fake_quant": seen.logits, "integer": run.add(part, seen)}
        logits.update((name, make(part)) for name, make in judged.items())
        for name, values in logits.items():
            run.logits.setdefault(name, LogitSums()).add(values, seen.logits, truth.numpy())
        if progress:
            progress(run.images, batches.images)
    return run.report(str(dtype).removeprefix("torch."))


def real_logits(graph: Graph, images: Tensor, threads: int | None = None) -> Array:
    """The logits of `graph`, as reals, for images (B, C, H, W)."""
    feeds = as_codes(graph, {INPUT: images.numpy()})
    return _reals(graph, graph.outputs[0], simulate(graph, feeds, threads=threads)[graph.outputs[0]])


class _Run:
    """The running sums of one comparison."""

    def __init__(self, graph: Graph, reference: Reference, what_if: Execute | None, threads: int | None) -> None:
        self.graph, self.reference, self.threads = graph, reference, threads
        self.watch = SeenSums()
        self.execute = what_if or self.watch
        shared = {
            node.name: reference.specs[node.name]
            for node in graph.nodes
            if node.name in reference.specs
            and graph.specs[node.name].quant is not None
            and graph.specs[node.name].shape == reference.specs[node.name].shape
        }
        self.same = [name for name, spec in shared.items() if graph.specs[name] == spec]
        self.counts = {mode: {name: CodeCount() for name in self.same} for mode in (MODES[1:] if what_if else MODES)}
        self.sums = {name: RealSums() for name in shared}
        self.clamped = dict.fromkeys(shared, 0)
        self.logits: dict[str, LogitSums] = {}
        self.divergence: Divergence | None = None
        self.images = 0

    def add(self, images: Tensor, seen: Seen) -> Array:
        """Take in one batch; the logits of the graph."""
        feeds = as_codes(self.graph, {INPUT: images.numpy()})
        forced = {name: seen.codes[name] for name in self.same}
        if "node_by_node" in self.counts:
            values = simulate(self.graph, feeds, self.same, replace=forced, threads=self.threads)
            self._compare("node_by_node", values, seen, images)
        values = simulate(
            self.graph, feeds, tuple(self.sums), threads=self.threads, execute=self.execute, first=self.images
        )
        self._compare("free_running", values, seen, images)
        for name, sums in self.sums.items():
            quant = self.reference.specs[name].quant
            assert quant is not None
            sums.add(_reals(self.graph, name, values[name]), quant.to_real(seen.codes[name]))
            self.clamped[name] += seen.clamped[name]
        self.images += len(images)
        return _reals(self.graph, self.graph.outputs[0], values[self.graph.outputs[0]])

    def _compare(self, mode: str, values: Mapping[str, Array], seen: Seen, images: Tensor) -> None:
        """Count; where a node diverges that comes before all that diverged until now, capture it."""
        first = None
        for name in self.same:
            where = self.counts[mode][name].add(values[name], seen.codes[name])
            if first is None and where.size:
                first = name, int(where[0])
        if mode == "free_running" or first is None:
            return
        if self.divergence is None or self.same.index(first[0]) < self.same.index(self.divergence.node):
            forced = {name: seen.codes[name] for name in self.same}
            found = capture(self.graph, self.reference, forced, images, *first)
            self.divergence = dataclasses.replace(found, image=self.images + found.image)

    def report(self, dtype: str) -> VerifyReport:
        """What was seen."""
        modes = {
            mode: tuple(count.result(name) for name, count in counts.items()) for mode, counts in self.counts.items()
        }
        reals = tuple(
            NodeReals(name, sums.cosine, sums.sqnr_db, self.clamped[name] / self._elements(name))
            for name, sums in self.sums.items()
        )
        predictions = {name: sums.result() for name, sums in self.logits.items()}
        absent = tuple(name for name in self.reference.specs if name not in self.sums)
        accumulators = tuple(self._accumulator(width) for width in widths(self.graph))
        return VerifyReport(self.images, dtype, modes, reals, absent, predictions, accumulators, self.divergence)

    def _accumulator(self, width: Width) -> NodeAccumulator:
        return NodeAccumulator(width.node, width.codes.bits, width.weights.bits, self.watch.ranges.get(width.node))

    def _elements(self, name: str) -> int:
        return self.images * math.prod(self.graph.specs[name].shape)


def _reals(graph: Graph, name: str, value: Array) -> Array:
    quant = graph.specs[name].quant
    return value if quant is None else quant.to_real(value)


def _batches(images: Tensor, labels: Tensor | None) -> Batches:
    truth = torch.full((len(images),), -1) if labels is None else labels
    return Batches(TensorDataset(images, truth), len(images), BATCH)
