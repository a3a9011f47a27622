"""IRM as a LayerNorm, the form of Q-ViT's released code (commit ab9580c): mean and var over D, per token and head.

y = gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta for x (B, H, N, D), gamma and beta (D,) learned, eps 1e-5. Its start
is fitted per channel by least squares (`rectifier`); the released code starts with 1 and 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qmodels.layers.rectifier import Rectifier


class Irm(nn.LayerNorm, Rectifier):
    """Information rectification over the last dimension, of size `head_dim`."""

    def __init__(self, head_dim: int) -> None:
        super().__init__(head_dim, eps=1e-5)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set gamma and beta so that the output is nearest to `x` (..., D)."""
        rows = x.reshape(-1, x.shape[-1])
        standard = F.layer_norm(rows, self.normalized_shape, eps=self.eps)
        centred = standard - standard.mean(0)
        variance = centred.square().mean(0)
        gamma = (centred * rows).mean(0) / variance.clamp(min=1e-8)
        self.weight.copy_(gamma)
        self.bias.copy_(rows.mean(0) - gamma * standard.mean(0))
        self.calibrated = True
