"""The fake-quant model itself as the reference of `verify`: its logits, the codes of its quantizers, and how many clamp.

The torch model runs in float64 (or float32, to be reported beside it) with a hook on every activation quantizer. An
input is *clamped* where it lies beyond the least or the greatest real of the grid by more than half of the last step:
rounding alone would not have brought it onto the grid.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.errors import IllegalModel
from hwsim.graph import Graph
from hwsim.op import Array
from hwsim.spec import TensorSpec
from qmodels.quantizer import Quantizer
from qmodels.tracing import node_name


@dataclass(frozen=True, slots=True)
class Seen:
    """One batch: logits (B, classes) in float64; by node, codes in the graph's containers and the count of clamped."""

    logits: Array
    codes: dict[str, Array]
    clamped: dict[str, int]


class Reference:
    """The model in `dtype`, with the names that `mixed`, the graph traced from it, gives its quantizers.

    Raises IllegalModel where the model has no activation quantizer to compare, or one without a node in the graph.
    """

    def __init__(self, model: nn.Module, mixed: Graph, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._model = copy.deepcopy(model).to(dtype).eval()
        self._quantizers = _activation_quantizers(self._model, mixed)
        self.specs = {node.name: mixed.specs[node.name] for node in mixed.nodes if node.name in self._quantizers}
        """The spec of each quantizer's codes, in the order of the graph."""
        self._ends = {name: ends(spec) for name, spec in self.specs.items()}

    def run(self, images: Tensor) -> Seen:
        """Run the model on one batch (B, C, H, W)."""
        codes: dict[str, Array] = {}
        clamped: dict[str, int] = {}

        def take(name: str, module: Quantizer, x: Tensor) -> None:
            spec, real = self.specs[name], module.moved(x).numpy()
            assert spec.quant is not None
            if not spec.batched:  # the model repeats for every image what the graph has once
                x = x[: spec.shape[0]]
            codes[name] = module.codes(x).numpy().astype(spec.quant.container)
            low, high = self._ends[name]
            clamped[name] = int(np.count_nonzero(real < low)) + int(np.count_nonzero(real > high))

        with self._hooked(take):
            logits = self._logits(images)
        return Seen(logits, codes, clamped)

    def inputs_of(self, node: str, images: Tensor) -> Array:
        """The reals that the quantizer `node` rounds on one batch."""
        taken: list[Array] = []

        def take(name: str, module: Quantizer, x: Tensor) -> None:
            if name == node:
                taken.append(module.moved(x).numpy().astype(np.float64))

        with self._hooked(take):
            self._logits(images)
        return taken[0]

    def _logits(self, images: Tensor) -> Array:
        with torch.no_grad():
            logits: Array = self._model(images.to(self.dtype)).numpy().astype(np.float64)
        return logits

    @contextmanager
    def _hooked(self, take: Callable[[str, Quantizer, Tensor], None]) -> Iterator[None]:
        """Within, a forward pass of the model calls `take` with each quantizer's node name, itself and its input."""

        def hook(name: str) -> Callable[[Quantizer, tuple[Tensor, ...], Tensor], None]:
            return lambda module, inputs, _output: take(name, module, inputs[0])

        handles = [module.register_forward_hook(hook(name)) for name, module in self._quantizers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def ends(spec: TensorSpec) -> tuple[Array, Array]:
    """Least and greatest input that is not clamped, in a shape that broadcasts against the tensor."""
    quant = spec.quant
    assert quant is not None
    shape = [size if axis == quant.axis else 1 for axis, size in enumerate(spec.shape)]
    reals = np.unique([quant.to_real(np.full(shape, code)) for code in quant.codebook()], axis=0)  # ascending
    return reals[0] - (reals[1] - reals[0]) / 2, reals[-1] + (reals[-1] - reals[-2]) / 2


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
