"""Where a grid should end: the scale (and zero point) with the least squared error on a sample.

`x` has any shape; with axis None one scale comes out, shape (1,), else one per index along `axis`. The clipping range
is searched as fractions of the range of `x` (OMSE / MSE search, arXiv 1902.06822); zero is always on the grid (S2).
LSQ's own start, 2 mean|x| / sqrt(qmax), is only right near 3 bits: at 8 bits its range is 18 sigma.

At most LIMIT values per scale take part, evenly spaced, besides the true minimum and maximum.
"""

import torch
from torch import Tensor

LIMIT = 8192
_SYMMETRIC = torch.linspace(0.05, 1.0, 20).tolist()
_LOW = torch.linspace(0.0, 1.0, 9).tolist()
_HIGH = torch.linspace(0.125, 1.0, 15).tolist()


def symmetric(x: Tensor, qmin: int, qmax: int, axis: int | None) -> Tensor:
    """The scale (S,) of the grid scale * [qmin, qmax] without a zero point."""
    values, low, high = _sample(x, axis)
    whole = torch.maximum(high / qmax, low / qmin) if qmin < 0 else high / qmax
    whole = torch.where(whole > 0, whole, torch.ones_like(whole))
    return _best(values, [(whole * f, torch.zeros_like(whole)) for f in _SYMMETRIC], qmin, qmax)[0].flatten()


def asymmetric(x: Tensor, qmin: int, qmax: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """The scale (S,) and the integer zero point (S,), as floats, of the grid scale * ([qmin, qmax] - zero_point)."""
    values, low, high = _sample(x, axis)
    candidates = []
    for f_low in _LOW:
        for f_high in _HIGH:
            scale = (high * f_high - low * f_low) / (qmax - qmin)
            scale = torch.where(scale > 0, scale, torch.ones_like(scale))
            candidates.append((scale, (qmin - low * f_low / scale).round().clamp(qmin, qmax)))
    scale, zero_point = _best(values, candidates, qmin, qmax)
    return scale.flatten(), zero_point.flatten()


def _sample(x: Tensor, axis: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Values (S, n), and their minimum and maximum (S, 1) with zero included, taken over all of `x`."""
    rows = x.detach().reshape(1, -1) if axis is None else x.detach().movedim(axis, 0).flatten(1)
    low, high = rows.amin(1, keepdim=True).clamp(max=0), rows.amax(1, keepdim=True).clamp(min=0)
    if rows.shape[1] > LIMIT:
        rows = rows[:, torch.linspace(0, rows.shape[1] - 1, LIMIT, dtype=torch.float64).long()]
    return rows, low, high


def _best(values: Tensor, candidates: list[tuple[Tensor, Tensor]], qmin: int, qmax: int) -> tuple[Tensor, Tensor]:
    """Per row of `values` (S, n), the candidate scale and zero point (S, 1) of least squared error."""
    (scale, zero_point), *_ = candidates
    least = torch.full_like(scale, torch.inf)
    for s, z in candidates:
        rounded = torch.div(values, s).round_().add_(z).clamp_(qmin, qmax).sub_(z).mul_(s)
        error = rounded.sub_(values).square_().sum(1, keepdim=True)
        better = error < least
        least = torch.where(better, error, least)
        scale, zero_point = torch.where(better, s, scale), torch.where(better, z, zero_point)
    return scale, zero_point
