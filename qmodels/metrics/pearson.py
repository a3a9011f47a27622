"""Pearson: the correlation of all outputs of a sample with the float ones, mean over samples (arXiv 2106.14156, section 3.2).

It knows nothing of scale and shift of the outputs: a mean error is left to bias correction. Where either is constant it is 0.
"""

from dataclasses import dataclass

from torch import Tensor

from qmodels.metric import Metric
from qmodels.metrics.cosine import Cosine


@dataclass(frozen=True, slots=True)
class Pearson(Metric):
    """In [-1, 1]: the cosine of what is left when the means are taken off."""

    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """The mean over B of the correlation over M and N."""
        return Cosine()(got - got.mean((-2, -1), keepdim=True), wanted - wanted.mean((-2, -1), keepdim=True))
