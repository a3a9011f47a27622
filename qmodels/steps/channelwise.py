"""Channelwise: a scale per channel for the input of each linear layer that one LayerNorm feeds, and nothing else does.

What leaves a LayerNorm has channels of very different ranges, its gains', so that one grid for all of them fits few. A grid
per channel lies along the reduction axis, which no integer product executes (S3): it is for the time while weights are
float, until `reparametrize` turns it into one grid. This step puts the quantizer, whose grid `ranges` finds. A layer whose
LayerNorm also feeds others keeps its one scale, since what is undone there would be undone for them (`qmodels.sources`).
Sources: RepQ-ViT (arXiv 2212.08254), I&S-ViT (arXiv 2311.10126), stage 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qmodels.layers.quant_linear import QuantLinear
from qmodels.quantizers.uniform import Uniform
from qmodels.step import Step

if TYPE_CHECKING:
    from qmodels.ptq.unit import Unit


@dataclass(frozen=True, slots=True)
class Channelwise(Step):
    """It has nothing to set. Quantizers that are no Uniform stay as they are."""

    name = "channelwise"

    def run(self, unit: Unit) -> None:
        """Put uncalibrated quantizers of the same kind and bits."""
        for site in unit.sites:
            source = unit.sources.get(f"{site.path}.input_quantizer")
            if not isinstance(site.module, QuantLinear) or source is None or not source.norm:
                continue
            old = site.module.input_quantizer
            if type(old) is Uniform:
                new = Uniform(old.bits, signed=old.qmin < 0, axis=-1, size=site.module.in_features, batched=old.batched)
                site.module.input_quantizer = new.to(old.scale).train(old.training)
