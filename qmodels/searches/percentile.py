"""Percentile: a range between the quantiles 1 - p and p, for the p of a list with the least squared error, each scale apart.

RepQ-ViT (arXiv 2212.08254) and I&S-ViT (arXiv 2311.10126) find their grids so, the first with 0.999, 0.9999 and 0.99999 for
both kinds of tensors, the second with 0.97 to 0.99999 for weights; 1 is min-max. Quantiles are those of all values,
interpolated. Zero is on every grid (S2), so that a range that lacks it is widened.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qmodels.clipping import Grids
from qmodels.quantizers.uniform import Uniform
from qmodels.search import Search, spanning

WEIGHTS = (0.97, 0.98, 0.99, 0.995, 0.9995, 0.9997, 0.99995, 0.99999, 1.0)
ACTIVATIONS = (0.99, 0.999, 0.9999, 0.99999)


@dataclass(frozen=True, slots=True)
class Percentile(Search):
    """The list of a weight's quantizer is `weights`, that of an activation's `activations`; each p is in (0.5, 1]."""

    weights: tuple[float, ...] = WEIGHTS
    activations: tuple[float, ...] = ACTIVATIONS

    def __post_init__(self) -> None:
        for key in ("weights", "activations"):
            listed = getattr(self, key)
            if not listed or not all(0.5 < p <= 1 for p in listed):
                raise ValueError(
                    f"percentile: {key} must be numbers above 0.5 and at most 1, got {listed}; 1 is min-max"
                )

    def candidates(self, rows: Tensor, quantizer: Uniform) -> Grids:
        """One grid per percentile."""
        ordered = rows.sort(1).values
        listed = self.activations if quantizer.batched else self.weights
        return [spanning(_quantile(ordered, 1 - p), _quantile(ordered, p), quantizer) for p in listed]


def _quantile(ordered: Tensor, p: float) -> Tensor:
    """The quantile (S, 1) of rows (S, n) in ascending order; torch.quantile refuses rows of more than 2^24 values."""
    place = p * (ordered.shape[1] - 1)
    below = min(int(place), ordered.shape[1] - 1)
    above = min(below + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, below, None], ordered[:, above, None], place - below)
