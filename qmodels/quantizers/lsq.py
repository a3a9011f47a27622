"""LSQ: symmetric codes with a learned scale (Esser et al., Learned Step Size Quantization, arXiv 1902.08153, eq. 1-3).

Signed codes are [-2^(b-1), 2^(b-1) - 1], unsigned [0, 2^b - 1]; S1 and S2 with zero_point = 0, a fixed buffer. Departs
from the paper in its start, unless `start` is `mean`: the scale is searched for the least squared error
(`qmodels.clipping`).
"""

import torch
from torch import Tensor

from qmodels import clipping
from qmodels.fake_quantize import along, fake_quantize
from qmodels.quantizer import Quantizer


class Lsq(Quantizer):
    """Symmetric quantizer with a learned scale of shape (size,)."""

    def __init__(
        self, bits: int, *, signed: bool = True, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if bits == 1 and signed:
            raise ValueError("lsq: signed codes need 2 bits or more, got 1; use binary")
        qmin, qmax = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        super().__init__(bits, qmin, qmax, axis=axis, size=size, batched=batched)
        self.register_buffer("zero_point", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        scale, zero_point = self.spread(self.half_graded(self.positive_scale(), x), x), self.spread(self.zero_point, x)
        return fake_quantize(x, scale, zero_point, self.qmin, self.qmax, self.axis, self.grad_factor(x))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the scale to what `start` finds on `x`: by default the one of least squared error."""
        self.scale.copy_(clipping.symmetric(self.sharing(x), self.qmin, self.qmax, 0, self.start))
        self.calibrated = True

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """S2: clamp(round(x / scale), qmin, qmax) as int32."""
        s = along(self.spread(self.positive_scale(), x), x, self.axis)
        return torch.div(x, s).round_().clamp_(self.qmin, self.qmax).to(torch.int32)
