"""Noisy: a uniform grid of x + N, where N is fixed noise, one number per input channel (NoisyQuant, arXiv 2211.16056).

The layer behind takes the noise off again: y = W_q Q(x + N) + (b - W_q N), a constant in its bias. So N is minus the
quantizer's `offset` (`qmodels.quantizer`), and costs an integer product nothing. `set_noise` gives the noise, 0 before it;
`initialise` finds the grid for x with the noise that there is. An input of several axes has its channels on the last one;
a convolution, which cannot take off a noise of several numbers, has one. Where it pads, the noise would have to be padded
too: `uniform` stands there.
"""

import torch
from torch import Tensor, nn

from qmodels.quantizers.uniform import Uniform


class Noisy(Uniform):
    """Per-tensor uniform quantizer with a fixed `offset` (channels,): codes are those of x - offset."""

    channelled = True
    padded = "uniform"

    def __init__(
        self,
        bits: int,
        *,
        signed: bool = False,
        axis: int | None = None,
        size: int = 1,
        batched: bool = True,
        channels: int = 1,
    ) -> None:
        if axis is not None:
            raise ValueError(f"noisy: its grid is one per tensor, got axis {axis}; use uniform")
        super().__init__(bits, signed=signed, axis=axis, size=size, batched=batched)
        self.offset = nn.Parameter(torch.zeros(channels), requires_grad=False)

    @torch.no_grad()
    def set_noise(self, noise: Tensor) -> None:
        """Take `noise` (channels,) as N; the grid stays as it is."""
        if noise.shape != self.offset.shape:
            raise ValueError(f"noisy: it has noise of {tuple(self.offset.shape)}, got {tuple(noise.shape)}; reshape it")
        self.offset.copy_(-noise)
