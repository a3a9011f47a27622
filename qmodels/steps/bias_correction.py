"""BiasCorrection: the mean error of each output unit of a layer, over all calibration images, is taken off its bias.

Layer by layer, in order. The error is `own`, what the layer's grids make of the inputs that it gets, as PTQ-ViT prints it
(arXiv 2106.14156, section 3.2: E[e_W x] + E[W e_x] + E[e_W e_x]); or else the whole difference from the float model, with
what the layers before have left of theirs. Afterwards its mean is zero. Inputs are those of the quantized model as it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.errors import HwsimError
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.ptq.site import Site
from qmodels.ptq.unit import Unit
from qmodels.step import Step


@dataclass(frozen=True, slots=True)
class BiasCorrection(Step):
    """own: which error."""

    own: bool = True

    name = "bias_correction"

    @torch.no_grad()
    def run(self, unit: Unit) -> None:
        """Correct the layers of the unit; raises HwsimError for one without a bias."""
        layers = [site for site in unit.sites if site.is_layer]
        for done, site in enumerate(layers, 1):
            if site.module.bias is None:
                raise HwsimError(f"{site.path}: must have a bias to be corrected, got none; pass --set biases=true")
            site.module.bias.copy_(site.module.bias - self.error(unit, site))
            unit.told(done / len(layers))

    def error(self, unit: Unit, site: Site) -> Tensor:
        """The mean error (N,) of each output unit of a layer, float64."""
        axis = 1 if isinstance(site.module, QuantConv2d) else -1
        if not self.own:
            got, wanted = ((call.output for call in unit.calls(site.path, kind)) for kind in ("quantized", "float"))
            return mean(got, axis) - mean(wanted, axis)
        calls = unit.calls(site.path, "quantized")
        return mean((call.output - site.product(*site.values(call.inputs)) for call in calls), axis)


def mean(batches: Iterable[Tensor], axis: int) -> Tensor:
    """The mean (N,) over all axes but `axis`, in float64."""
    sums, count = torch.zeros(1, dtype=torch.float64), 0
    for part in batches:
        rows = part.movedim(axis, -1).flatten(0, -2)
        sums = sums + rows.sum(0, dtype=torch.float64)
        count += len(rows)
    return sums / count
