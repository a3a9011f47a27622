"""ChannelAffine: y = x * multiplier + shift per channel: what folding puts before a quantizer that no LayerNorm feeds.

`multiplier` and `shift` (or None: no addition) are buffers that broadcast against x, (C,) or (C, 1, 1); each is traced
as one Mul or Add by a constant.
"""

from torch import Tensor, nn


class ChannelAffine(nn.Module):
    """A multiplication and, where `shift` is given, an addition by constants."""

    multiplier: Tensor
    shift: Tensor | None

    def __init__(self, multiplier: Tensor, shift: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("multiplier", multiplier)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) or (B, C, H, W) to the same shape."""
        x = x * self.multiplier
        return x if self.shift is None else x + self.shift
