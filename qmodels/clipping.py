"""Where a grid should end: the scale (and zero point) with the least squared error on a sample.

`x` has any shape; with axis None one scale comes out, shape (1,), else one per index along `axis`. The clipping range
is searched as fractions of the range of `x` (OMSE / MSE search, arXiv 1902.06822); zero is always on the grid (S2).
LSQ's own start, 2 mean|x| / sqrt(qmax), is only right near 3 bits: at 8 bits its range is 18 sigma.

At most LIMIT values per scale take part in a search, evenly spaced, besides the true minimum and maximum.

The published starts are here too, of all values: `mean`, LSQ's own (arXiv 1902.08153, section 2.1), and `fixed_point`,
VVTQ's (released code of arXiv 2307.00331): from max|x| / qmax, codes of least error for the scale and the scale of least
error for the codes, sum(x q) / sum(q q), follow each other until the scale moves by less than 1e-5 of itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from hwsim.errors import HwsimError

Grids = list[tuple[Tensor, Tensor]]
"""Candidates: a scale (S, 1) and an integer zero point (S, 1) each, for S rows of values."""
LIMIT = 8192
_SYMMETRIC = torch.linspace(0.05, 1.0, 20).tolist()
_LOW = torch.linspace(0.0, 1.0, 9).tolist()
_HIGH = torch.linspace(0.125, 1.0, 15).tolist()
_SETTLED = 1e-5
_ROUNDS = 1000
"""More than a fixed point was ever seen to take; each round lowers the error, or ends it."""


def need_finite(x: Tensor) -> None:
    """Raise HwsimError unless every value of `x` is finite."""
    good = int(x.isfinite().sum())
    if good < x.numel():
        nan = int(x.isnan().sum())
        raise HwsimError(
            f"calibration: values must be finite, got {nan} NaN and {x.numel() - good - nan} infinite of {x.numel()}; check "
            "the images and the model's weights"
        )


def symmetric(x: Tensor, qmin: int, qmax: int, axis: int | None, start: str = "search") -> Tensor:
    """The scale (S,) of the grid scale * [qmin, qmax] without a zero point, found by `start`."""
    return _SYMMETRIC_STARTS[start](x, qmin, qmax, axis)


def mean(x: Tensor, qmin: int, qmax: int, axis: int | None) -> Tensor:
    """The scale (S,) 2 mean|x| / sqrt(qmax)."""
    scale = 2 * _rows(x, axis).abs().mean(1) / qmax**0.5
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def fixed_point(x: Tensor, qmin: int, qmax: int, axis: int | None) -> Tensor:
    """The scale (S,) at which codes and scale fit each other best, by turns, from max|x| / qmax."""
    rows = _rows(x, axis)
    scale = rows.abs().amax(1, keepdim=True) / qmax
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    moving = torch.ones_like(scale, dtype=torch.bool)
    for _ in range(_ROUNDS):
        codes = torch.div(rows, scale).round_().clamp_(qmin, qmax)
        fits = (rows * codes).sum(1, keepdim=True) / codes.square().sum(1, keepdim=True).clamp(min=1)
        fits = torch.where(moving & (fits > 0), fits, scale)
        moving = (fits - scale).abs() >= _SETTLED * fits
        scale = fits
        if not moving.any():
            break
    return scale.flatten()


def _searched(x: Tensor, qmin: int, qmax: int, axis: int | None) -> Tensor:
    """The scale (S,) of least squared error among fractions of the range."""
    values, low, high = _sample(x, axis)
    return _best(values, symmetric_grids(low, high, qmin, qmax), qmin, qmax)[0].flatten()


def symmetric_grids(low: Tensor, high: Tensor, qmin: int, qmax: int) -> Grids:
    """What is searched without zero points: fractions of the range `low`, `high`, each (S, 1), zero included."""
    whole = torch.maximum(high / qmax, low / qmin) if qmin < 0 else high / qmax
    whole = torch.where(whole > 0, whole, torch.ones_like(whole))
    return [(whole * f, torch.zeros_like(whole)) for f in _SYMMETRIC]


def asymmetric(x: Tensor, qmin: int, qmax: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """The scale (S,) and the integer zero point (S,), as floats, of the grid scale * ([qmin, qmax] - zero_point)."""
    values, low, high = _sample(x, axis)
    scale, zero_point = _best(values, asymmetric_grids(low, high, qmin, qmax), qmin, qmax)
    return scale.flatten(), zero_point.flatten()


def asymmetric_grids(low: Tensor, high: Tensor, qmin: int, qmax: int) -> Grids:
    """What is searched with zero points: fractions of `low` and of `high`, each (S, 1), zero included, apart."""
    candidates = []
    for f_low in _LOW:
        for f_high in _HIGH:
            scale = (high * f_high - low * f_low) / (qmax - qmin)
            scale = torch.where(scale > 0, scale, torch.ones_like(scale))
            candidates.append((scale, (qmin - low * f_low / scale).round().clamp(qmin, qmax)))
    return candidates


_SYMMETRIC_STARTS: dict[str, Callable[[Tensor, int, int, int | None], Tensor]] = {
    "search": _searched,
    "mean": mean,
    "fixed_point": fixed_point,
}


def _rows(x: Tensor, axis: int | None) -> Tensor:
    """All values (S, n) of `x` that share a scale, side by side."""
    return x.detach().reshape(1, -1) if axis is None else x.detach().movedim(axis, 0).flatten(1)


def with_offset(x: Tensor, qmin: int, qmax: int, axis: int | None, start: str = "search") -> tuple[Tensor, Tensor]:
    """The scale (S,) and the real offset (S,) of the grid scale * [qmin, qmax] + offset, found by `start`.

    `search`: those of an integer zero point, then the offset of least error for these codes. `fixed_point`: from the whole
    range, codes, offset and scale by turns. `mean`: that scale, the offset 0.
    """
    rows = _rows(x, axis)
    if start == "mean":
        scale = mean(x, qmin, qmax, axis)
        return scale, torch.zeros_like(scale)
    if start == "search":
        scale, zero_point = (found[:, None] for found in asymmetric(x, qmin, qmax, axis))
        codes = torch.div(rows, scale).round_().add_(zero_point).clamp_(qmin, qmax)
        return scale.flatten(), (rows - scale * codes).mean(1)
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    scale = torch.where(high > low, high - low, torch.ones_like(low)) / (qmax - qmin)
    offset = low - qmin * scale
    for _ in range(_ROUNDS):
        codes = torch.div(rows - offset, scale).round_().clamp_(qmin, qmax)
        offset = (rows - scale * codes).mean(1, keepdim=True)
        fits = ((rows - offset) * codes).sum(1, keepdim=True) / codes.square().sum(1, keepdim=True).clamp(min=1)
        fits = torch.where(fits > 0, fits, scale)
        settled = bool(((fits - scale).abs() < _SETTLED * fits).all())
        scale = fits
        if settled:
            break
    return scale.flatten(), offset.flatten()


def mean_asymmetric(x: Tensor, qmin: int, qmax: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Scale (S,) and zero point (S,), not yet an integer, as Q-ViT's released code (commit ab9580c) starts: all S alike.

    Its codes are signed where x goes below -1e-5, and then half of the unsigned codes here lie below zero. The scale is
    2 mean|x| / sqrt(largest code), the zero point 0.1 (min x - scale * smallest code): a real number of the unit of x,
    taken for a number of codes.
    """
    half = (qmax - qmin + 1) // 2 if x.min() < -1e-5 else 0
    scale = 2 * x.detach().abs().mean() / max(qmax - half, 1) ** 0.5
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    zero_point = (0.1 * (x.detach().min() + scale * half) + half).clamp(qmin, qmax)
    size = 1 if axis is None else x.shape[axis]
    return scale.expand(size).clone(), zero_point.expand(size).clone()


def _sample(x: Tensor, axis: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Values (S, n), and their minimum and maximum (S, 1) with zero included, taken over all of `x`."""
    rows = _rows(x, axis)
    low, high = rows.amin(1, keepdim=True).clamp(max=0), rows.amax(1, keepdim=True).clamp(min=0)
    if rows.shape[1] > LIMIT:
        rows = rows[:, torch.linspace(0, rows.shape[1] - 1, LIMIT, dtype=torch.float64).long()]
    return rows, low, high


def _best(values: Tensor, candidates: Grids, qmin: int, qmax: int) -> tuple[Tensor, Tensor]:
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
