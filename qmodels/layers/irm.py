"""IRM, the information rectification module of Q-ViT (arXiv 2210.06707, eq. 7): standardise q and k, then quantize.

y = gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta over the head dimension D, for x (B, H, N, D): per token and head,
gamma and beta (D,) learned, eps 1e-5. This is a LayerNorm, the form of the released code. The paper prints
(x - mean + beta) / (gamma sqrt(var + eps)) with one statistic per tensor; its entropy formula, however, *multiplies* by
gamma, as here.

Departs from both in its start: `initialise` fits gamma and beta, per channel and by least squares, so that y is as
close to x as it can be; the float model's attention survives the insertion.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Irm(nn.LayerNorm):
    """Information rectification over the last dimension, of size `head_dim`."""

    def __init__(self, head_dim: int) -> None:
        super().__init__(head_dim, eps=1e-5)
        self.calibrated = False

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
