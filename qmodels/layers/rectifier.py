"""Rectifier: the base of the forms of IRM, information rectification before q and k are quantized.

Q-ViT (arXiv 2210.06707) argues that of a Gaussian tensor the codes hold most when it is standardised before it is
quantized, and that gain and offset be learned. It prints (x - mean + beta) / (gamma sqrt(var + eps)), while its entropy,
half the log of 2 pi e gamma^2 (var + eps), is that of a gain that multiplies; here all forms multiply:

    y = gamma (x - mean) / sqrt(var + eps) + beta,   x (B, H, N, D)

They differ in what mean and var are of: `irm` each token and head, `affine_irm` each image and head, `frozen_irm` the
calibration images, per head, after which they are constants. All start, departing from the paper, with the gamma and beta
whose y is nearest to x, so that the float model's attention survives the insertion.
"""

from abc import abstractmethod

from torch import Tensor, nn


class Rectifier(nn.Module):
    """A module between q (or k) and its quantizer that `qmodels.calibrate` fits before it."""

    weight: nn.Parameter
    bias: nn.Parameter
    calibrated = False

    @abstractmethod
    def initialise(self, x: Tensor) -> None:
        """Set gamma and beta so that the output is nearest to `x` (B, H, N, D)."""
