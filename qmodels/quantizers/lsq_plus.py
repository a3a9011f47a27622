"""LSQ+: asymmetric unsigned codes with a learned scale and zero point (Bhalgat et al., arXiv 2004.09576, eq. 6-9).

Codes are [0, 2^b - 1]; S1 and S2. Departs from the paper, and from Q-ViT which uses it, in that the offset is an
integer zero point inside the code range (a float parameter, rounded and clamped in the operator), not a real number:
that is what an integer GEMM corrects for with row and column sums (S3). The start is searched (`qmodels.clipping`).
"""

import torch
from torch import Tensor, nn

from qmodels import clipping
from qmodels.fake_quantize import along, fake_quantize
from qmodels.quantizer import Quantizer


class LsqPlus(Quantizer):
    """Asymmetric quantizer with learned scale and zero point, each of shape (size,); its codes are always unsigned."""

    def __init__(
        self, bits: int, *, signed: bool = False, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if signed:
            raise ValueError("lsq_plus: codes are unsigned, got signed=True; the zero point places them, or use lsq")
        super().__init__(bits, 0, 2**bits - 1, axis=axis, size=size, batched=batched)
        self.zero_point = nn.Parameter(torch.full((size,), float(2 ** (bits - 1))))  # until initialised: mid-range

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        scale, zero_point = (self.half_graded(p, x) for p in (self.positive_scale(), self.zero_point))
        return fake_quantize(x, scale, zero_point, self.qmin, self.qmax, self.axis, self.grad_factor(x))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set scale and zero point to those of least squared error on `x`, or with `start` `mean` as Q-ViT's code does."""
        find = clipping.mean_asymmetric if self.start == "mean" else clipping.asymmetric
        scale, zero_point = find(x, self.qmin, self.qmax, self.axis)
        self.scale.copy_(scale)
        self.zero_point.copy_(zero_point)
        self.calibrated = True

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """S2: clamp(round(x / scale) + zero_point, qmin, qmax) as int32."""
        s = along(self.positive_scale(), x, self.axis)
        z = along(self.zero_point.round().clamp(self.qmin, self.qmax), x, self.axis)
        return torch.div(x, s).round_().add_(z).clamp_(self.qmin, self.qmax).to(torch.int32)
