"""Reparametrize: layers whose input has a scale per channel get one scale, exactly, while their weights are still float.

`qmodels.reparametrization` has the formulas: the LayerNorm before the layer takes the map to the one grid, and the layer's
weights and bias take it back. A channel that the LayerNorm makes zero of, whatever comes, has no range; it gets the mean
scale of the others, so that it moves neither them nor its weights.

Sources: RepQ-ViT (arXiv 2212.08254), I&S-ViT (arXiv 2311.10126), stage 2; both leave the zero point a fraction in their code,
which is rounded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hwsim.errors import HwsimError
from qmodels import reparametrization
from qmodels.layers.quant_linear import QuantLinear
from qmodels.quantizer import Quantizer
from qmodels.step import Step

if TYPE_CHECKING:
    from qmodels.ptq.unit import Unit


@dataclass(frozen=True, slots=True)
class Reparametrize(Step):
    """It has nothing to set."""

    name = "reparametrize"

    @torch.no_grad()
    def run(self, unit: Unit) -> None:
        """Do it to the unit's linear layers; raises HwsimError where one has no LayerNorm of its own, or no float weights."""
        for site in unit.sites:
            layer = site.module
            if not isinstance(layer, QuantLinear) or getattr(layer.input_quantizer, "axis", None) is None:
                continue
            source = unit.sources.get(f"{site.path}.input_quantizer")
            if source is None or not source.norm:
                raise _bad(site.path, "be fed by a LayerNorm that feeds nothing else, got none", "use one scale")
            if layer.bias is None:
                raise _bad(site.path, "have a bias, got none", "set biases=true")
            if isinstance(layer.weight_quantizer, Quantizer) and layer.weight_quantizer.calibrated:
                raise _bad(site.path, "have float weights, got quantized ones", "quantize weights afterwards")
            norm = unit.model.get_submodule(source.norm)
            dead = (norm.weight == 0) & (norm.bias == 0)
            if dead.any() and not dead.all():
                layer.input_quantizer.scale[dead] = layer.input_quantizer.scale[~dead].mean()
            layer.input_quantizer, found = reparametrization.to_one(layer.input_quantizer)
            layer.weight.copy_(layer.weight.double() * found.r1)
            reparametrization.shift_bias(layer, found.shift, layer.weight)
            reparametrization.into_norm(norm, found)


def _bad(path: str, rule: str, remedy: str) -> HwsimError:
    return HwsimError(f"{path}: a layer with a scale per input channel must {rule}; {remedy}")
