"""Candidates: grids of one quantizer that a search by output tries in its place, the one in use among them.

For a uniform grid they are the grid of the whole range of values and `count` more, whose ranges are fractions of it, spaced
linearly from `low` to `high`; zero points stay. A quantizer of a table (`qmodels.shift_quantizer`) gives its own, and starts
with the one of least squared error. Rounding gives reals: where a grid has an offset, it is in them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from qmodels.clipping import need_finite
from qmodels.fake_quantize import along
from qmodels.quantizer import SCALE_FLOOR, Quantizer
from qmodels.quantizers.uniform import Uniform
from qmodels.search import spanning
from qmodels.shift_quantizer import TERMS, ShiftQuantizer, room

MOST = 10_000
"""Candidates that a search may have: each is held for each scale."""


class Candidates(ABC):
    """`count` grids of `quantizer`, which has the first of them when it is made."""

    quantizer: Quantizer
    count: int

    @abstractmethod
    def rounded(self, x: Tensor, start: int, stop: int) -> Tensor:
        """`x` on the grids `start` to `stop`, less one: (stop - start, *x.shape)."""

    @abstractmethod
    def take(self, scores: Tensor) -> bool:
        """Set the grid of the greatest of `scores` (count, S), or (count, 1) for all scales; whether that is another.

        Of equals the one in use stays.
        """


def of(quantizer: Quantizer, x: Tensor, count: int, low: float, high: float) -> Candidates | None:
    """The candidates for all values `x` that it quantizes; raises HwsimError unless they are finite.

    None for a quantizer of another kind, which gets the grid that it finds by itself.
    """
    need_finite(x)
    if isinstance(quantizer, Uniform):
        return Fractions(quantizer, x, count, low, high)
    quantizer.initialise(x)
    return Tables(quantizer, x) if isinstance(quantizer, ShiftQuantizer) else None


def reals(quantizer: nn.Module, x: Tensor) -> Tensor:
    """What the codes of `x` mean: `quantizer(x)`, and its offset."""
    offset = getattr(quantizer, "offset", None)
    got: Tensor = quantizer(x)
    return got if offset is None else got + along(offset, x, quantizer.axis)


class Fractions(Candidates):
    """Of a uniform grid: scales (count, S), zero points (S,)."""

    def __init__(self, quantizer: Uniform, x: Tensor, count: int, low: float, high: float) -> None:
        self.quantizer = quantizer
        rows = quantizer.sharing(quantizer.moved(x))
        scale, self.zero = (v.flatten() for v in spanning(rows.amin(1, True), rows.amax(1, True), quantizer))
        fractions = torch.cat([torch.ones(1), torch.linspace(low, high, count)]).to(scale)
        self.scales = (scale * fractions[:, None]).clamp_(min=SCALE_FLOOR)
        self.count, self.used = len(fractions), torch.zeros(1, len(scale), dtype=torch.long)
        quantizer.set_grid(scale, self.zero)

    def rounded(self, x: Tensor, start: int, stop: int) -> Tensor:
        """As `uniform` rounds, all candidates at once."""
        q = self.quantizer
        moved, axis = q.moved(x), 0 if q.axis is None else q.axis
        scale, zero = (
            torch.stack([along(q.spread(v, x), x, axis) for v in parts])
            for parts in (self.scales[start:stop], [self.zero])
        )
        found = torch.div(moved, scale).round_().add_(zero).clamp_(q.qmin, q.qmax).sub_(zero).mul_(scale)
        return found if q.offset is None else found.add_(along(q.offset, x, q.axis))

    def take(self, scores: Tensor) -> bool:
        """Each scale apart, where it has scores of its own."""
        scores = scores.expand(-1, self.used.shape[1])
        best = scores.argmax(0, keepdim=True)
        better = scores.gather(0, best) > scores.gather(0, self.used)
        self.used = torch.where(better, best, self.used)
        self.quantizer.set_grid(self.scales.gather(0, self.used)[0], self.zero)
        return bool(better.any())


class Tables(Candidates):
    """Of a table: pairs of a table and factors (S,) of its scale, chosen for all scales together."""

    def __init__(self, quantizer: ShiftQuantizer, x: Tensor) -> None:
        self.quantizer = quantizer
        scale = quantizer.positive_scale().double()
        space = room(quantizer.bits, x.shape[-1] if x.dim() > 1 else TERMS)
        found = quantizer.tables(quantizer.sharing(x), space)
        self.grids = [(quantizer.spec(), scale / scale[0]), *((spec, f) for spec, factors in found for f in factors)]
        self.count, self.used = len(self.grids), 0

    def rounded(self, x: Tensor, start: int, stop: int) -> Tensor:
        """By the intervals that hold the values, as `shift_quantize`."""
        found, axis = [], 0 if self.quantizer.axis is None else self.quantizer.axis
        for spec, factor in self.grids[start:stop]:
            step = along(self.quantizer.spread(spec.scale[0] * factor, x).to(x), x, axis)
            boundaries, values = torch.tensor(spec.boundaries), torch.from_numpy(spec.values()[spec.order()])
            found.append(values.to(x)[torch.bucketize(x / step, boundaries.to(x), right=True)].mul_(step))
        return torch.stack(found)

    def take(self, scores: Tensor) -> bool:
        """The greatest sum of scores."""
        total = scores.sum(1)
        best = int(total.argmax())
        better = bool(total[best] > total[self.used])
        self.used = best if better else self.used
        self.quantizer.set_table(*self.grids[self.used])
        return better
