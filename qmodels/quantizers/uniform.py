"""Uniform: a fixed grid, set from calibration values; nothing is learned (Krishnamoorthi, arXiv 1806.08342, section 2).

Signed: symmetric codes [-2^(b-1), 2^(b-1) - 1], zero point 0. Unsigned: codes [0, 2^b - 1] and an integer zero point, which
is 0 where no value was negative. S1 and S2. `set_grid` takes a grid that somebody else found (`qmodels.searches`, a
method's own step); `initialise` finds the one of least squared error. Weights may have a zero point, one per output channel.
"""

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from qmodels import clipping
from qmodels.fake_quantize import along, fake_quantize
from qmodels.quantizer import SCALE_FLOOR, Quantizer
from qmodels.squared_error import best, sample


class Uniform(Quantizer):
    """Quantizer with a fixed scale and zero point, each of shape (size,)."""

    def __init__(
        self, bits: int, *, signed: bool = False, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if bits == 1 and signed:
            name = type(self).__name__.lower()
            raise HwsimError(f"{name}: signed codes need 2 bits or more, got 1; use unsigned ones, or lsq")
        qmin, qmax = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        super().__init__(bits, qmin, qmax, axis=axis, size=size, batched=batched)
        self.scale.requires_grad_(False)
        if signed:
            self.register_buffer("zero_point", torch.zeros(size))
        else:  # a parameter, as one that is learned: the tracer takes a buffer for a constant of the method
            self.zero_point = nn.Parameter(torch.full((size,), float(2 ** (bits - 1))), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, less the offset where there is one; same shape."""
        moved = self.moved(x)
        scale, zero_point = self.spread(self.positive_scale(), moved), self.spread(self.zero_point, moved)
        return fake_quantize(moved, scale, zero_point, self.qmin, self.qmax, self.axis, 1.0)

    @torch.no_grad()
    def set_grid(self, scale: Tensor, zero_point: Tensor | None = None) -> None:
        """Take the grid scale * (q - zero_point), each (size,), and mark it as calibrated; None is zero points of 0.

        Scales below SCALE_FLOOR become it, zero points the nearest code. Raises ValueError for another shape, a scale that is
        no positive number, and a zero point of symmetric codes.
        """
        zeros = torch.zeros_like(scale) if zero_point is None else zero_point
        for key, given in (("scales", scale), ("zero points", zeros)):
            if given.shape != self.scale.shape:
                raise ValueError(
                    f"uniform: it has {tuple(self.scale.shape)} {key}, got {tuple(given.shape)}; reshape them"
                )
        if not (scale.isfinite().all() and (scale > 0).all() and zeros.isfinite().all()):
            raise ValueError(
                f"uniform: scales must be positive and finite, got {scale.min().item()}; calibrate on others"
            )
        if self.qmin < 0 and zeros.any():
            raise ValueError(
                f"uniform: signed codes have a zero point of 0, got {zeros.abs().max().item():g}; use unsigned"
            )
        self.scale.copy_(scale).clamp_(min=SCALE_FLOOR)
        self.zero_point.copy_(zeros.round().clamp(self.qmin, self.qmax))
        self.calibrated = True

    def grids(self, low: Tensor, high: Tensor) -> clipping.Grids:
        """The grids to choose from by squared error for values between `low` and `high`, each (size, 1), zero included."""
        choose = clipping.symmetric_grids if self.qmin < 0 else clipping.asymmetric_grids
        return choose(low, high, self.qmin, self.qmax)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the grid to that of least squared error on `x`; raises HwsimError unless all of it is finite."""
        clipping.need_finite(x)
        seen = sample(self.sharing(self.moved(x.detach())))
        self.set_grid(*best(seen, self.grids(seen.low, seen.high), self.qmin, self.qmax))

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """S2 of x - offset: clamp(round((x - offset) / scale) + zero_point, qmin, qmax) as int32."""
        moved = self.moved(x)
        s, z = (along(self.spread(v, moved), moved, self.axis) for v in (self.positive_scale(), self.zero_point))
        return torch.div(moved, s).round_().add_(z).clamp_(self.qmin, self.qmax).to(torch.int32)
