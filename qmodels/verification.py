"""verify: the integer simulator against the fake-quant model, code by code.

The reference is the torch model itself, run in float64 (or float32, to be reported beside it) with a hook on every
activation quantizer that takes the codes it makes. The simulator runs the graph twice on the same images: *free-running*,
on its own values throughout, and *node by node*, where each quantizer's codes are compared and then replaced by the
reference's, so that a difference at one node is not counted again at the next.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.errors import IllegalModel
from hwsim.graph import Graph
from hwsim.op import Array
from hwsim.simulator import chunks, simulate
from qmodels.quantizer import Quantizer
from qmodels.tracing import INPUT, node_name

MODES = ("node_by_node", "free_running")
CHUNK = 32
"""Images held at once: memory is bounded by this, not by the data set."""


@dataclass(frozen=True, slots=True)
class NodeCodes:
    """The codes of one quantizer: how many were compared, how many differ, and the largest difference in steps."""

    node: str
    compared: int
    mismatched: int
    largest: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` saw; `modes` maps each of MODES to its nodes in the order of the graph."""

    images: int
    dtype: str
    modes: dict[str, tuple[NodeCodes, ...]]
    correct_reference: int
    correct_integer: int
    agreeing: int

    def compared(self, mode: str) -> int:
        """Codes compared in all."""
        return sum(node.compared for node in self.modes[mode])

    def mismatched(self, mode: str) -> int:
        """Codes that differ in all."""
        return sum(node.mismatched for node in self.modes[mode])

    def first_diverging(self, mode: str) -> str:
        """The first node, in the order of the graph, whose codes differ; "" where none does."""
        return next((node.node for node in self.modes[mode] if node.mismatched), "")


@dataclass(slots=True)
class _Tally:
    """Running counts of one mode: node -> [compared, mismatched, largest]."""

    counts: dict[str, list[int]] = field(default_factory=dict)

    def add(self, node: str, codes: Array, reference: Array) -> None:
        step = np.abs(codes.astype(np.int64) - reference)
        count = self.counts.setdefault(node, [0, 0, 0])
        count[0] += step.size
        count[1] += int(np.count_nonzero(step))
        count[2] = max(count[2], int(step.max()))


def verify(
    model: nn.Module,
    graph: Graph,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Compare the codes of every activation quantizer of `model` with those of `graph`, which was traced from it.

    images: (B, C, H, W); labels: (B,), for the accuracies, which are 0 without them. Raises IllegalModel where the model
    has no activation quantizer to compare, or one without a node in the graph.
    """
    reference = copy.deepcopy(model).to(dtype).eval()
    quantizers = _activation_quantizers(reference, graph)
    order = [node.name for node in graph.nodes if node.name in set(quantizers)]
    tallies = {mode: _Tally() for mode in MODES}
    correct_reference = correct_integer = agreeing = 0
    for part in chunks(len(images), CHUNK):
        with _codes_of(quantizers) as seen, torch.no_grad():
            wanted = reference(images[part].to(dtype)).argmax(1).numpy()
        feeds = {INPUT: images[part].numpy()}
        for mode in MODES:
            replace = seen if mode == "node_by_node" else None
            values = simulate(graph, feeds, order, replace=replace, threads=threads)
            for name in order:
                tallies[mode].add(name, values[name], seen[name])
        predicted = values[graph.outputs[0]].argmax(1)
        truth = np.full(len(wanted), -1) if labels is None else labels[part].numpy()
        correct_reference += int((wanted == truth).sum())
        correct_integer += int((predicted == truth).sum())
        agreeing += int((predicted == wanted).sum())
        if progress:
            progress(part.stop, len(images))
    modes = {mode: tuple(NodeCodes(name, *tallies[mode].counts[name]) for name in order) for mode in MODES}
    name = str(dtype).removeprefix("torch.")
    return VerifyReport(len(images), name, modes, correct_reference, correct_integer, agreeing)


def _activation_quantizers(model: nn.Module, graph: Graph) -> dict[str, Quantizer]:
    """Node name -> quantizer, for those that quantize activations."""
    found = {
        node_name(path): module
        for path, module in model.named_modules()
        if isinstance(module, Quantizer) and module.batched
    }
    if not found:
        raise IllegalModel(f"{graph.name}: codes are compared at activation quantizers, got none; quantize the model")
    known = {node.name for node in graph.nodes}
    for name in found:
        if name not in known:
            raise IllegalModel(f"{name}: every quantizer must be a node of the graph, got none; trace this very model")
    return found


@contextmanager
def _codes_of(quantizers: dict[str, Quantizer]) -> Iterator[dict[str, Array]]:
    """Within, a forward pass of the model fills the dict with each quantizer's codes, in the graph's containers."""
    seen: dict[str, Array] = {}

    def hook(name: str) -> Callable[[Quantizer, tuple[Tensor, ...], Tensor], None]:
        def take(module: Quantizer, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
            codes = module.codes(inputs[0]).numpy()
            seen[name] = codes.astype(np.int8 if module.qmin < 0 else np.uint8)

        return take

    handles = [module.register_forward_hook(hook(name)) for name, module in quantizers.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
