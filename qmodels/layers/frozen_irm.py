"""IRM with mean and var of the calibration images: affine, so that `qmodels.frozen` folds it into the layer before.

y = |gamma| * (x - mean) / deviation + beta for x (B, H, N, D), mean and deviation (H,) constants since calibration, gamma
and beta (H D,) learned, per head and channel. Ours: neither Q-ViT's paper nor its code has it. It costs nothing at
inference, where the other forms double the normalisations of a ViT, and gives up what they do for it: to follow each
image. What is left is another parametrization of the q and k rows of the qkv layer, standardised where training starts.

The gain is used without its sign, because the codes of the weights that it is folded into have no negative of -2^(b-1).
"""

import torch
from torch import Tensor, nn

from qmodels.layers.rectifier import Rectifier
from qmodels.quantizer import SCALE_FLOOR


class FrozenIrm(Rectifier):
    """Standardisation of `heads` heads of `head_dim` channels with constant mean and deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.weight = nn.Parameter(torch.ones(heads * head_dim))
        self.bias = nn.Parameter(torch.zeros(heads * head_dim))
        self.register_buffer("mean", torch.zeros(heads))
        self.register_buffer("deviation", torch.ones(heads))

    def line(self) -> tuple[Tensor, Tensor]:
        """(ratio, offset), each (H, D): the output is x * ratio + offset."""
        shape = (self.heads, self.head_dim)
        ratio = self.weight.abs().clamp(min=SCALE_FLOOR).view(shape) / self.deviation[:, None]
        return ratio, self.bias.view(shape) - self.mean[:, None] * ratio

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, N, D) to the same shape."""
        ratio, offset = self.line()
        return x * ratio[:, None] + offset[:, None]

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Take mean and deviation of `x` (B, H, N, D) per head, and the gamma and beta that give `x` back."""
        rows = x.movedim(1, 0).flatten(1)
        deviation = rows.std(1, correction=0)
        self.mean.copy_(rows.mean(1))
        self.deviation.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))
        self.weight.copy_(self.deviation.repeat_interleave(self.head_dim))
        self.bias.copy_(self.mean.repeat_interleave(self.head_dim))
        self.calibrated = True

    def extra_repr(self) -> str:
        """Heads and channels, for print(model)."""
        return f"heads={self.heads}, head_dim={self.head_dim}"
