"""Ranking: minus how far pairs of attention scores are from their float order (arXiv 2106.14156, section 3.2).

For two scores a_i, a_j of a row, both in units of the standard deviation of the sample's float scores,

    penalty = max(0, theta - (got_i - got_j) sign(a_i - a_j))

The paper sums penalties, so that their weight against a correlation grows with tokens and heads, and takes scores as they
are; here it is the mean, of at most `pairs` pairs per row (the same in each row, drawn by `seed`), and scores are normalised.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qmodels.metric import Metric


@dataclass(frozen=True, slots=True)
class Ranking(Metric):
    """At most 0; theta: the margin by which an order must be kept."""

    theta: float = 0.2
    pairs: int = 64
    seed: int = 0

    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """Minus the mean penalty over B, M and the pairs of N."""
        left, right = self.chosen(wanted.shape[-1])
        unit = wanted.std((-2, -1), keepdim=True, correction=0).clamp(min=torch.finfo(wanted.dtype).tiny)
        sign = (wanted.index_select(-1, left) - wanted.index_select(-1, right)).sign_().div_(unit)
        kept = (got.index_select(-1, left) - got.index_select(-1, right)).mul_(sign)
        return -kept.neg_().add_(self.theta).clamp_(min=0).mean((-3, -2, -1))

    def chosen(self, keys: int) -> tuple[Tensor, Tensor]:
        """The pairs: all of `keys` where they are few enough."""
        if keys * (keys - 1) // 2 <= self.pairs:
            left, right = torch.triu_indices(keys, keys, 1)
            return left, right
        generator = torch.Generator().manual_seed(self.seed)
        left = torch.randint(keys, (self.pairs,), generator=generator)
        return left, (left + torch.randint(1, keys, (self.pairs,), generator=generator)) % keys
