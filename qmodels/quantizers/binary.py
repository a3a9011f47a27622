"""Binary: 1-bit signed codes -1 and +1 with a learned scale (XNOR-Net, arXiv 1603.05279, eq. 6 gives the start).

out = scale * sign(x), sign(0) = +1; the start of the scale, mean |x|, is the one of least squared error.
"""

import torch
from torch import Tensor

from qmodels.fake_quantize import binarize
from qmodels.quantizer import Quantizer


class Binary(Quantizer):
    """1-bit signed quantizer with a learned scale of shape (size,); qmin and qmax are -1 and 1, zero is not a code."""

    def __init__(
        self, bits: int = 1, *, signed: bool = True, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if bits != 1 or not signed:
            raise ValueError(f"binary: bits must be 1 and signed, got bits={bits}, signed={signed}; use lsq")
        super().__init__(1, -1, 1, axis=axis, size=size, batched=batched)
        self.register_buffer("zero_point", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        return binarize(x, self.spread(self.half_graded(self.positive_scale(), x), x), self.axis)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the scale to mean |x|."""
        scale = self.sharing(x).abs().mean(1)
        self.scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)))
        self.calibrated = True

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """+1 where x >= 0, else -1, as int32."""
        return torch.where(x >= 0, 1, -1).to(torch.int32)
