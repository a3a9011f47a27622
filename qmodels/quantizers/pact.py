"""PACT: a learned clipping level (Choi et al., PACT: Parameterized Clipping Activation, arXiv 1805.06085, eq. 1-3).

The level is alpha = scale * qmax; the value on the grid is LSQ's, what differs is how the scale learns: only from values
beyond the grid, each with qmax or qmin times its gradient, and not from rounding errors inside it (LSQ does both).

Departs from the paper, which clips after a ReLU, to [0, alpha]: signed codes are [-2^(b-1), 2^(b-1) - 1] and clip on both
sides. The scale is the parameter, not alpha; its gradient has LSQ's factor, or the norm at which gradients are clipped
would be all its own; alpha has no L2 penalty, as no scale here has weight decay; and it starts as LSQ's does
(`qmodels.clipping`) instead of far out.
"""

import torch
from torch import Tensor

from qmodels import clipping
from qmodels.fake_quantize import along, fake_quantize
from qmodels.quantizer import Quantizer


class Pact(Quantizer):
    """Symmetric quantizer with a learned clipping level: a scale of shape (size,)."""

    def __init__(
        self, bits: int, *, signed: bool = True, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if bits == 1 and signed:
            raise ValueError("pact: signed codes need 2 bits or more, got 1; use binary")
        qmin, qmax = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        super().__init__(bits, qmin, qmax, axis=axis, size=size, batched=batched)
        self.register_buffer("zero_point", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        scale = self.positive_scale()
        if self.training:
            x, scale = self._clipped(x, scale), scale.detach()
        return fake_quantize(x, scale, self.zero_point, self.qmin, self.qmax, self.axis, 1.0)

    def _clipped(self, x: Tensor, scale: Tensor) -> Tensor:
        """`x` clipped to the grid's range; the scale learns from what was clipped, times the usual factor."""
        slow = along(self.graded(scale, x), x, self.axis)
        return torch.minimum(torch.maximum(x, slow * self.qmin), slow * self.qmax)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the scale to what `start` finds on `x`: by default the one of least squared error."""
        self.scale.copy_(clipping.symmetric(x, self.qmin, self.qmax, self.axis, self.start))
        self.calibrated = True

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """S2: clamp(round(x / scale), qmin, qmax) as int32."""
        s = along(self.positive_scale(), x, self.axis)
        return torch.div(x, s).round_().clamp_(self.qmin, self.qmax).to(torch.int32)
