"""Min-max: the grid spans all that was seen, nothing is learned (Jacob et al., arXiv 1712.05877, section 3.1).

Signed: symmetric, the smallest scale at which nothing is clipped, zero point 0. Unsigned: scale = (high - low) / qmax,
zero point = round(-low / scale), where [low, high] holds zero. While training, activations follow a running range,
low += (1 - MOMENTUM) (low of the batch - low), and weights take their own range in each step; the checkpoint holds the
state of the last one. In data-parallel training a batch is that of all processes, so that they keep one grid.

Departs from the paper in that activations are quantized from the first step on, since the range is calibrated before it,
and that weights are [-2^(b-1), 2^(b-1) - 1], as everywhere here, without a zero point.
"""

import torch
from torch import Tensor, distributed, nn

from qmodels.fake_quantize import along, fake_quantize
from qmodels.quantizer import SCALE_FLOOR, Quantizer

MOMENTUM = 0.99
"""Of the running range; near 1, so that it is smoothed over thousands of steps, says the source, without a number."""


class MinMax(Quantizer):
    """Quantizer of a running range `low`, `high`; scale and zero point, of shape (size,), follow from it."""

    low: Tensor
    high: Tensor

    def __init__(
        self, bits: int, *, signed: bool = False, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if bits == 1 and signed:
            raise ValueError("minmax: signed codes need 2 bits or more, got 1; use binary")
        qmin, qmax = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        super().__init__(bits, qmin, qmax, axis=axis, size=size, batched=batched)
        self.scale.requires_grad_(False)
        if signed:
            self.register_buffer("zero_point", torch.zeros(size))
        else:  # a parameter, as one that is learned: the tracer takes a buffer for a constant of the method
            self.zero_point = nn.Parameter(torch.full((size,), float(2 ** (bits - 1))), requires_grad=False)
        self.register_buffer("low", torch.zeros(size))
        self.register_buffer("high", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape; while training, on the grid of the range that now includes `x`."""
        zero_point = self.zero_point
        if self.training:
            self._follow(x.detach(), MOMENTUM if self.batched and self.calibrated else 0.0)
            zero_point = zero_point.clone()  # the next forward moves the buffer, maybe before this one's backward
        return fake_quantize(x, self.positive_scale(), zero_point, self.qmin, self.qmax, self.axis, 1.0)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the range to that of `x`."""
        self._follow(x.detach(), 0.0)
        self.calibrated = True

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """S2: clamp(round(x / scale) + zero_point, qmin, qmax) as int32."""
        s, z = along(self.positive_scale(), x, self.axis), along(self.zero_point, x, self.axis)
        return torch.div(x, s).round_().add_(z).clamp_(self.qmin, self.qmax).to(torch.int32)

    @torch.no_grad()
    def _follow(self, x: Tensor, momentum: float) -> None:
        """Move the range towards that of `x`, and set scale and zero point by it."""
        rows = x.reshape(1, -1) if self.axis is None else x.movedim(self.axis, 0).flatten(1)
        low, high = rows.amin(1).clamp(max=0), rows.amax(1).clamp(min=0)
        if self.training and self.batched and distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(low, distributed.ReduceOp.MIN)
            distributed.all_reduce(high, distributed.ReduceOp.MAX)
        self.low.lerp_(low, 1 - momentum)
        self.high.lerp_(high, 1 - momentum)
        if self.qmin < 0:
            scale = torch.maximum(self.high / self.qmax, self.low / self.qmin)
        else:
            scale = (self.high - self.low) / self.qmax
        self.scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)).clamp(min=SCALE_FLOOR))
        if self.qmin == 0:
            self.zero_point.copy_((-self.low / self.scale).round().clamp(self.qmin, self.qmax))
