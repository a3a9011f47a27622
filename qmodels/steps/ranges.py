"""Ranges: each quantizer of the unit gets the grid that a local search finds on the tensor that it quantizes, alone.

Activations are visited in order. With stream `quantized` each sees what the quantizers before it let through, with `float`
what the original model has there. Weights follow, or are left to another step where `weights` is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qmodels.ptq.unit import Kind, Unit
from qmodels.quantizer import Quantizer
from qmodels.step import STREAMS, Step


@dataclass(frozen=True, slots=True)
class Ranges(Step):
    """activations, weights: searches of `qmodels.searches`, None to leave them. stream: what activations are seen of."""

    activations: Any = None
    weights: Any = None
    stream: Kind = "quantized"

    name = "ranges"
    limits = MappingProxyType({"stream": STREAMS})

    def run(self, unit: Unit) -> None:
        """Search the grids of what is not calibrated yet."""
        if self.activations is not None:
            unit.visit(self.stream, lambda path, quantizer, x: self.activations(x, quantizer))
        for site in unit.sites if self.weights is not None else ():
            (_, _), (_, quantizer) = site.operands
            if site.is_layer and isinstance(quantizer, Quantizer) and not quantizer.calibrated:
                self.weights(site.module.weight, quantizer)
