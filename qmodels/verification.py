"""verify: the integer simulator against the fake-quant model, code by code.

The reference is the torch model itself (`reference.py`). The simulator runs the graph twice on the same images:
*free-running*, on its own values throughout, and *node by node*, where each quantizer's codes are compared and then
replaced by the reference's, so that a difference at one node is not counted again at the next.

The graph is the mixed form, or an integer form lowered from it. There a quantizer's codes are compared where both forms
give them one meaning, and only the reals where they do not. A what-if, in which nodes are run by other arithmetic
(`execute`: narrow accumulators, flipped bits), runs free alone, beside the graph as it is.

Images come in batches of at most BATCH, and sums are all that is kept of them (`tally.py`).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.op import Array
from hwsim.simulator import Execute, as_codes, run_node, simulate
from hwsim.study.accumulators import Seen as SeenSums
from hwsim.study.accumulators import Width, widths
from qmodels.comparison import CodeCount, LogitSums, NodeAccumulator, NodeCodes, NodeReals, Predictions, RealSums
from qmodels.data import Batches
from qmodels.divergence import Divergence, capture
from qmodels.reference import Reference, Seen
from qmodels.tally import Place, Tally
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
    check_images(graph, batches)
    modes = MODES[1:] if execute else MODES
    comparison = Comparison(model, graph, mixed, modes, dict(others or {}), dtype, threads)
    tally = comparison.empty()
    for part, truth in batches:
        comparison.add(tally, part, truth, tally.images, execute)
        if progress:
            progress(tally.images, batches.images)
    return comparison.report(tally, batches)


def check_images(graph: Graph, batches: Batches) -> None:
    """Raise HwsimError unless there are images."""
    if not batches.images:
        raise HwsimError(f"{graph.name}: images are needed to compare codes, got none; raise the limit")


def real_logits(graph: Graph, images: Tensor, threads: int | None = None) -> Array:
    """The logits of `graph`, as reals, for images (B, C, H, W)."""
    feeds = as_codes(graph, {INPUT: images.numpy()})
    return _reals(graph, graph.outputs[0], simulate(graph, feeds, threads=threads)[graph.outputs[0]])


@dataclass(slots=True, eq=False)
class Comparison:
    """`model` against `graph` in one dtype, batch by batch; the arguments are those of `verify`.

    modes: of MODES; the second alone in a what-if.
    """

    model: nn.Module
    graph: Graph
    mixed: Graph | None
    modes: tuple[str, ...]
    others: Mapping[str, Logits]
    dtype: torch.dtype
    threads: int | None
    watched: bool = True
    """Whether the sums of products are watched, for which nodes must run one by one."""
    reference: Reference = field(init=False)
    shared: list[str] = field(init=False)
    """The quantizers that the graph has too."""
    same: list[str] = field(init=False)
    """Those whose codes mean the same in both forms."""

    def __post_init__(self) -> None:
        self.reference = Reference(self.model, self.mixed or self.graph, self.dtype)
        own, specs = self.graph.specs, self.reference.specs
        nodes = [node.name for node in self.graph.nodes if node.name in specs]
        self.shared = [n for n in nodes if own[n].quant is not None and own[n].shape == specs[n].shape]
        self.same = [name for name in self.shared if own[name] == specs[name]]

    def empty(self) -> Tally:
        """The tally of no images."""
        codes = {mode: {name: CodeCount() for name in self.same} for mode in self.modes}
        return Tally(0, codes, {name: RealSums() for name in self.shared}, dict.fromkeys(self.shared, 0), {}, {})

    def add(self, tally: Tally, images: Tensor, labels: Tensor, first: int, execute: Execute | None = None) -> None:
        """Take one batch into `tally`, which must hold images before `first`, the index of the batch's first image;
        nodes are run by `execute` in a what-if."""
        seen = self.reference.run(images)
        logits = {"fake_quant": seen.logits, "integer": self._codes(tally, images, seen, first, execute)}
        logits.update((name, make(images)) for name, make in self.others.items())
        if self.mixed is not None:
            logits["mixed"] = real_logits(self.mixed, images, self.threads)
        if execute is not None:
            logits["exact"] = real_logits(self.graph, images, self.threads)
        for name, values in logits.items():
            tally.logits.setdefault(name, LogitSums()).add(values, seen.logits, labels.numpy())
        tally.images += len(images)

    def _codes(self, tally: Tally, images: Tensor, seen: Seen, first: int, execute: Execute | None) -> Array:
        """Take in the codes and reals of one batch; the logits of the graph."""
        feeds = as_codes(self.graph, {INPUT: images.numpy()})
        if "node_by_node" in self.modes:
            forced = {name: seen.codes[name] for name in self.same}
            values = simulate(self.graph, feeds, self.same, replace=forced, threads=self.threads)
            found = self._count(tally.codes["node_by_node"], values, seen)
            tally.part(Place(found[0], first, first + len(images), found[1]) if found else None)
        watch = SeenSums()
        run = execute or (watch if self.watched else run_node)
        values = simulate(self.graph, feeds, self.shared, threads=self.threads, execute=run, first=first)
        counts = tally.codes["free_running"]
        differ = {name: counts[name].mismatched for name in self.same}
        self._count(counts, values, seen)
        for name, sums in tally.reals.items():
            quant = self.reference.specs[name].quant
            assert quant is not None
            reals = quant.to_real(seen.codes[name])
            equal = name in differ and counts[name].mismatched == differ[name]
            sums.add(reals if equal else _reals(self.graph, name, values[name]), reals)
            tally.clamped[name] += seen.clamped[name]
        tally.see(watch.ranges)
        return _reals(self.graph, self.graph.outputs[0], values[self.graph.outputs[0]])

    def _count(self, counts: dict[str, CodeCount], values: Mapping[str, Array], seen: Seen) -> tuple[str, int] | None:
        """Count; the first node whose codes differ, and the first flat position at which they do."""
        where = {name: counts[name].add(values[name], seen.codes[name]) for name in self.same}
        return next(((name, int(places[0])) for name, places in where.items() if places.size), None)

    def report(self, tally: Tally, batches: Batches) -> VerifyReport:
        """What `tally` says; `batches` are read again where codes part."""
        modes = {mode: tuple(c.result(name) for name, c in counts.items()) for mode, counts in tally.codes.items()}
        reals = tuple(
            NodeReals(name, sums.cosine, sums.sqnr_db, tally.clamped[name] / self._elements(name, tally.images))
            for name, sums in tally.reals.items()
        )
        predictions = {name: sums.result() for name, sums in tally.logits.items()}
        absent = tuple(name for name in self.reference.specs if name not in tally.reals)
        accumulators = tuple(_accumulator(width, tally) for width in widths(self.graph))
        divergence = self._divergence(tally.place, batches) if tally.place else None
        dtype = str(self.dtype).removeprefix("torch.")
        return VerifyReport(tally.images, dtype, modes, reals, absent, predictions, accumulators, divergence)

    def _divergence(self, place: Place, batches: Batches) -> Divergence:
        """The divergence at `place`, from the very batch on which it was found."""
        ((images, _),) = batches.part(place.start, place.stop)
        seen = self.reference.run(images)
        forced = {name: seen.codes[name] for name in self.same}
        found = capture(self.graph, self.reference, forced, images, place.node, place.position)
        return dataclasses.replace(found, image=place.start + found.image)

    def _elements(self, name: str, images: int) -> int:
        return images * math.prod(self.graph.specs[name].shape)


def _accumulator(width: Width, tally: Tally) -> NodeAccumulator:
    return NodeAccumulator(width.node, width.codes.bits, width.weights.bits, tally.ranges.get(width.node))


def _reals(graph: Graph, name: str, value: Array) -> Array:
    quant = graph.specs[name].quant
    return value if quant is None else quant.to_real(value)


def _batches(images: Tensor, labels: Tensor | None) -> Batches:
    truth = torch.full((len(images),), -1) if labels is None else labels
    return Batches(TensorDataset(images, truth), len(images), BATCH)
