"""Cosine: of the angle between all outputs of a sample and the float ones, mean over samples.

PTQ4ViT's base form (arXiv 2111.12293) searches by it. It knows nothing of the outputs' scale. Where either is zero it is 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qmodels.metric import Metric


@dataclass(frozen=True, slots=True)
class Cosine(Metric):
    """In [-1, 1]."""

    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """The mean over B of <got, wanted> / (|got| |wanted|), each over M and N."""
        products = (got * wanted).sum((-2, -1))
        lengths = torch.linalg.vector_norm(got, dim=(-2, -1)) * torch.linalg.vector_norm(wanted, dim=(-2, -1))
        return (products / lengths.clamp(min=torch.finfo(got.dtype).tiny)).mean(-1)
