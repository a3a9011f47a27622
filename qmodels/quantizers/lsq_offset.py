"""LSQ with a learned real offset: real = scale * q + offset, codes as those of `lsq` (LSQ+, arXiv 2004.09576, eq. 6-7).

For the input of a layer with constant weights, the one place where an offset costs an integer product nothing: the layer
adds offset * (sums of its weights) to its bias (`qmodels.quantizer`). Where zero is padded, or both operands are
activations, the layer refuses it. VVTQ (arXiv 2307.00331) has it behind GELU, whose least value is -0.17: with an
offset, unsigned codes spend none on more than that. With `start` `mean`, as in its released code, the offset starts at 0;
there its gradient has no factor, here it has that of the scale, with whose parameters it shares a learning rate.
"""

import torch
from torch import Tensor, nn

from qmodels import clipping
from qmodels.fake_quantize import along, fake_quantize
from qmodels.quantizer import Quantizer


class LsqOffset(Quantizer):
    """Quantizer with a learned scale and a learned real offset, each of shape (size,)."""

    def __init__(
        self, bits: int, *, signed: bool = False, axis: int | None = None, size: int = 1, batched: bool = True
    ) -> None:
        if bits == 1 and signed:
            raise ValueError("lsq_offset: signed codes need 2 bits or more, got 1; use binary")
        qmin, qmax = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        super().__init__(bits, qmin, qmax, axis=axis, size=size, batched=batched)
        self.register_buffer("zero_point", torch.zeros(size))
        self.offset = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, less the offset; same shape."""
        return fake_quantize(
            self.moved(x),
            self.half_graded(self.positive_scale(), x),
            self.zero_point,
            self.qmin,
            self.qmax,
            self.axis,
            self.grad_factor(x),
        )

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set scale and offset to what `start` finds on `x`: by default those of least squared error."""
        scale, offset = clipping.with_offset(x, self.qmin, self.qmax, self.axis, self.start)
        self.scale.copy_(scale)
        self.offset.copy_(offset)
        self.calibrated = True

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """S2 of x - offset: clamp(round((x - offset) / scale), qmin, qmax) as int32."""
        s = along(self.positive_scale(), x, self.axis)
        return torch.div(self.moved(x), s).round_().clamp_(self.qmin, self.qmax).to(torch.int32)
