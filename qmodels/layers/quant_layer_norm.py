"""QuantLayerNorm: a LayerNorm whose input goes through a quantizer, as in FQ-ViT (arXiv 2111.13824).

The norm itself stays a float island, as everywhere in the mixed form; parameters keep the names of nn.LayerNorm. What else
reads the residual stream, the sum behind the block, reads it as it is. Some models have images before a norm, whose channels
are on axis 1.
"""

from torch import Tensor, nn

from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.layers.norm import LayerNorm2d, LayerNorm2dFp32, LayerNormExp2d

OF_IMAGES = (LayerNorm2d, LayerNorm2dFp32, LayerNormExp2d)


def channels_of(norm: nn.LayerNorm) -> int:
    """On which axis of its input `norm` has the channels: -1 of (..., C), 1 of images (B, C, H, W)."""
    return 1 if isinstance(norm, OF_IMAGES) else -1


class QuantLayerNorm(nn.LayerNorm):
    """An nn.LayerNorm behind an `input_quantizer`; takes over the parameters of `norm`."""

    def __init__(self, norm: nn.LayerNorm, input_quantizer: nn.Module) -> None:
        nn.Module.__init__(self)
        self.normalized_shape, self.eps = norm.normalized_shape, norm.eps
        self.elementwise_affine = norm.elementwise_affine
        self.weight, self.bias = norm.weight, norm.bias
        self.axis = channels_of(norm)
        self.input_quantizer = input_quantizer

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C), or (B, C, H, W) to (B, C, H, W)."""
        x = self.input_quantizer(x)
        if self.axis == 1:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return super().forward(x)
