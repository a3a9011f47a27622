"""Reconstruct: the unit's weights and biases are tuned until its output is near the float model's, unit by unit.

Adam on the mean squared distance between what the student gives at the unit's end and what the float teacher gives there
(`Unit.targets`). Only weights and biases of the unit's layers move: grids stay as they were found, LayerNorms as they are,
and gradients pass rounding straight through. Each iteration sees `batch` images, drawn by the unit's generator; the rate
falls along half a cosine to zero. Where the distance over all images did not fall, the weights are put back; the sources do
not check that. Nothing but a batch and one copy of the unit's weights is held beside the model.

Source: I&S-ViT (arXiv 2311.10126), stages 1 and 3 of its smooth optimisation; the recipe is the released one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from hwsim.errors import HwsimError
from qmodels.step import STREAMS, Step

if TYPE_CHECKING:
    from qmodels.ptq.unit import Kind, Unit


@dataclass(frozen=True, slots=True)
class Reconstruct(Step):
    """stream: what leads to the unit, `float` as long as weights are, `quantized` once they are quantized.

    iterations: steps of Adam, none leaves all as it is; rate: of learning, at the first; batch: images in each, all where
    there are fewer.
    """

    stream: Kind = "quantized"
    iterations: int = 1000
    rate: float = 4e-5
    batch: int = 64

    name = "reconstruct"
    limits = MappingProxyType(
        {"stream": STREAMS, "iterations": (0, math.inf), "rate": (0, math.inf), "batch": (1, math.inf)}
    )

    def run(self, unit: Unit) -> None:
        """Tune; raises HwsimError where the distance is not finite."""
        layers = [site.module for site in unit.sites if site.is_layer]
        tuned = [p for layer in layers for p in (layer.weight, layer.bias) if p is not None]
        if not tuned or not self.iterations:
            return
        kept, before = [p.detach().clone() for p in tuned], self.distance(unit)
        for parameter in tuned:
            parameter.requires_grad_(True)
        try:
            self._tune(unit, tuned)
        finally:
            for parameter in tuned:
                parameter.requires_grad_(False)
                parameter.grad = None
        after = self.distance(unit)
        if not after < before:
            with torch.no_grad():
                for parameter, old in zip(tuned, kept, strict=True):
                    parameter.copy_(old)
            after = before
        unit.note(f"{self.name}_before", before)
        unit.note(f"{self.name}_after", after)

    def _tune(self, unit: Unit, tuned: list[nn.Parameter]) -> None:
        optimizer = torch.optim.Adam(tuned, lr=self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.iterations)
        given, wanted, images = unit.streams[self.stream], unit.target, unit.settings.images
        for iteration in range(self.iterations):
            drawn = torch.randperm(images, generator=unit.generator)[: self.batch]
            loss = F.mse_loss(unit.run(given.at(drawn)), wanted.at(drawn))
            if not torch.isfinite(loss):
                raise HwsimError(
                    f"{unit.name}: the distance must be finite, got {loss.item()} at iteration {iteration + 1} of "
                    f"{self.iterations}; lower --set reconstruct.rate={self.rate:g}"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            unit.told((iteration + 1) / self.iterations)

    @torch.no_grad()
    def distance(self, unit: Unit) -> float:
        """The mean squared distance of the unit's output from the teacher's over all images."""
        total, count = torch.zeros((), dtype=torch.float64), 0
        for x, target in zip(unit.batches(self.stream), unit.targets(), strict=True):
            total += (unit.run(x) - target).double().square().sum()
            count += target.numel()
        return total.item() / count
