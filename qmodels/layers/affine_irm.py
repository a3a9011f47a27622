"""IRM in the form of Q-ViT's entropy argument: mean and var of the whole of a head's q (or k), over tokens and channels.

y = gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta for x (B, H, N, D): one mean and var per image (in Swin per window)
and head, gamma and beta (H,) learned, eps 1e-5. That is a GroupNorm whose groups are the heads. The argument is about
one tensor, which is what a quantizer with one scale per head sees; per image, so that images do not depend on each other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qmodels.layers.rectifier import Rectifier


class AffineIrm(nn.GroupNorm, Rectifier):
    """Information rectification of each of `heads` heads as a whole."""

    def __init__(self, heads: int) -> None:
        super().__init__(heads, heads, eps=1e-5)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set gamma and beta so that the output is nearest to `x` (B, H, N, D)."""
        standard = F.group_norm(x, self.num_groups, eps=self.eps)  # of mean 0 in each image and head
        power = standard.square().mean((0, 2, 3))
        self.weight.copy_((standard * x).mean((0, 2, 3)) / power.clamp(min=1e-8))
        self.bias.copy_(x.mean((0, 2, 3)))
        self.calibrated = True
