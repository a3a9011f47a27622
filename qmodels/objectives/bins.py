"""OBR, oscillation-aware bin regularization (VVTQ, arXiv 2307.00331): latent weights shall lie on their codes.

Per layer with quantized weights, w the latent weights clipped to the grid and w_q what they are rounded to:

    mean of (w - w_q)^2  +  sum over bins n of Var(w that have the code n)

The variance is the unbiased one of bins with two weights or more; w_q is a constant. Where a weight has several scales,
each has bins of its own, and their sums over n are averaged. The layers' terms are added.

The weight is 0 for the first quarter of the training, then rises along half a cosine to `weight` at its end: a weight may
look for its bin first. Both as in the released code; the paper prints the sum of squares, which grows with the layer.
Departs from both in that scales learn nothing from this term, the weights alone do.
"""

import math

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from qmodels.objectives.objective import Objective, Step
from qmodels.quantizer import Quantizer

START = 0.25
"""The share of the training before which the weight is 0."""


class Bins(Objective):
    """Latent weights are drawn to the middle of their bins."""

    name = "bins"

    def value(self, step: Step) -> Tensor:
        """The term, a scalar; raises HwsimError where no weight is quantized."""
        layers = [m for m in step.model.modules() if isinstance(getattr(m, "weight_quantizer", None), Quantizer)]
        if not layers:
            raise HwsimError("bins: a model must have quantized weights, got none; choose bins=0")
        return torch.stack([spread(layer.weight, layer.weight_quantizer) for layer in layers]).sum()

    def weight_at(self, progress: float) -> float:
        """0, and from START on half a cosine up to `weight`."""
        done = max(0.0, (progress - START) / (1 - START))
        return self.weight * 0.5 * (1 - math.cos(math.pi * done))


def spread(weight: nn.Parameter, quantizer: Quantizer) -> Tensor:
    """How far the latent `weight` lies off the grid, and how far it spreads within the bins: a scalar."""
    with torch.no_grad():
        scale, zero = quantizer.positive_scale()[:, None], quantizer.zero_point.round()[:, None]  # (S, 1)
        codes = quantizer.sharing(quantizer.codes(weight)).long()  # (S, n)
        low, high, target = (scale * (q - zero) for q in (quantizer.qmin, quantizer.qmax, codes))
        bins = codes - quantizer.qmin
        counts = scale.new_zeros(len(scale), quantizer.qmax - quantizer.qmin + 1)
        counts.scatter_add_(1, bins, torch.ones_like(target))
    latent = quantizer.sharing(weight)
    latent = torch.minimum(torch.maximum(latent, low), high)
    means = torch.zeros_like(counts).scatter_add(1, bins, latent) / counts.clamp(min=1)
    squares = (latent - means.gather(1, bins)).square()
    variances = torch.zeros_like(counts).scatter_add(1, bins, squares) / (counts - 1).clamp(min=1)
    return (latent - target).square().mean() + variances.sum(1).mean()
