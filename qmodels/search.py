"""A search finds the grid of a quantizer from sample values alone: the base of the catalogue `qmodels.searches`.

A search is a frozen dataclass, called with a sample and a quantizer, whose grid it sets. One that is no Uniform has
parameters of its own kind (an exponent, a table) and finds them itself, by its `initialise`. What is common is here: values
must be finite, what shares a scale is laid side by side, and an `offset` of the grid is taken off before. Searches that look
at what a layer makes of its quantized operands are steps of `qmodels.steps`, not these.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from qmodels import squared_error
from qmodels.clipping import Grids, need_finite
from qmodels.quantizer import Quantizer
from qmodels.quantizers.uniform import Uniform


class Search(ABC):
    """Finds a grid by `candidates` and least squared error, all S scales of a quantizer apart."""

    @torch.no_grad()
    def __call__(self, x: Tensor, quantizer: Quantizer) -> None:
        """Set the grid of `quantizer` from the sample `x`; raises HwsimError unless all of it is finite."""
        need_finite(x)
        if not isinstance(quantizer, Uniform):
            quantizer.initialise(x)
            return
        rows = quantizer.sharing(quantizer.moved(x.detach()))
        quantizer.set_grid(*best(rows, self.candidates(rows, quantizer), quantizer))

    @abstractmethod
    def candidates(self, rows: Tensor, quantizer: Uniform) -> Grids:
        """Grids for `rows` (S, n); of equally good ones the first is taken."""


def spanning(low: Tensor, high: Tensor, quantizer: Uniform) -> tuple[Tensor, Tensor]:
    """The grid of the range [low, high], each (S, 1): its scale, 1 where the range is empty, and its zero point.

    Signed: the least scale at which nothing in the range is clipped. Unsigned: (high - low) / qmax and round(-low / scale),
    where a range that does not hold zero is widened until it does.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    qmin, qmax = quantizer.qmin, quantizer.qmax
    scale = torch.maximum(high / qmax, low / qmin) if qmin < 0 else high / qmax - low / qmax
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return scale, zero_of(low, scale, quantizer)


def zero_of(low: Tensor, scale: Tensor, quantizer: Uniform) -> Tensor:
    """The zero point (S, 1) with which unsigned codes of this `scale` start at `low`; 0 for signed ones."""
    if quantizer.qmin < 0:
        return torch.zeros_like(scale)
    return (quantizer.qmin - low / scale).round().clamp(quantizer.qmin, quantizer.qmax)


def best(rows: Tensor, grids: Grids, quantizer: Uniform) -> tuple[Tensor, Tensor]:
    """Of `grids`, for each of `rows` (S, n) the first of least squared error: scale (S,) and zero point (S,)."""
    if len(grids) == 1:
        return grids[0][0].flatten(), grids[0][1].flatten()
    return squared_error.best(squared_error.sample(rows), grids, quantizer.qmin, quantizer.qmax)
