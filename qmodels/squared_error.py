"""Least squared error over what was seen, of a sample that stands for all of it: how a fixed grid is chosen.

Few large values make most of the squared error of a softmax output or of a channel with outliers, and a plain sample of a few
thousand misses them. So of more than `limit` values in a row half of the sample are those of largest magnitude, one by one,
and half are drawn from all (seeded; regular steps would follow the tokens), each for as many of the others as there are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qmodels.clipping import Grids

LIMIT = 1 << 16
"""Values per scale that take part, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values (S, m) and how many of their row each stands for, float64 (S, m); `low` and `high`, (S, 1), hold zero."""

    values: Tensor
    weights: Tensor
    low: Tensor
    high: Tensor

    def error(self, rounded: Tensor) -> Tensor:
        """The sum of squared errors (S,) if the values become `rounded` (S, m)."""
        return torch.linalg.vecdot(rounded.sub(self.values).square().double(), self.weights)


def sample(rows: Tensor, limit: int = LIMIT) -> Sample:
    """The sample of `rows` (S, n): all of them where they are `limit` or fewer."""
    low, high = rows.amin(1, keepdim=True).clamp(max=0), rows.amax(1, keepdim=True).clamp(min=0)
    count = rows.shape[1]
    if count <= limit:
        return Sample(rows, torch.ones_like(rows, dtype=torch.float64), low, high)
    large = rows.abs().topk(limit // 2, dim=1, sorted=False)
    drawn = torch.randint(count, (limit // 2,), generator=torch.Generator().manual_seed(0)).to(rows.device)
    others = rows.abs()[:, drawn] < large.values.amin(1, keepdim=True)
    each = (count - limit // 2) / others.sum(1, keepdim=True).clamp(min=1).double()
    weights = torch.cat([torch.ones_like(large.values, dtype=torch.float64), others * each], 1)
    return Sample(torch.cat([rows.gather(1, large.indices), rows[:, drawn]], 1), weights, low, high)


def best(seen: Sample, grids: Grids, qmin: int, qmax: int) -> tuple[Tensor, Tensor]:
    """Of `grids`, for each row the first of least squared error: scale (S,) and zero point (S,)."""
    errors = []
    for scale, zero in grids:
        codes = torch.div(seen.values, scale).round_().add_(zero).clamp_(qmin, qmax)
        errors.append(seen.error(codes.sub_(zero).mul_(scale)))
    least = torch.stack(errors).argmin(0, keepdim=True)[..., None]
    scales, zeros = (torch.stack(parts).gather(0, least).flatten() for parts in zip(*grids, strict=True))
    return scales, zeros
