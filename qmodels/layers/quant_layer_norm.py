"""QuantLayerNorm: a LayerNorm whose input goes through a quantizer, as in FQ-ViT (arXiv 2111.13824).

The norm itself stays a float island, as everywhere in the mixed form; parameters keep the names of nn.LayerNorm. What else
reads the residual stream, the sum behind the block, reads it as it is.
"""

from torch import Tensor, nn


class QuantLayerNorm(nn.LayerNorm):
    """An nn.LayerNorm behind an `input_quantizer`; takes over the parameters of `norm`."""

    def __init__(self, norm: nn.LayerNorm, input_quantizer: nn.Module) -> None:
        nn.Module.__init__(self)
        self.normalized_shape, self.eps = norm.normalized_shape, norm.eps
        self.elementwise_affine = norm.elementwise_affine
        self.weight, self.bias = norm.weight, norm.bias
        self.input_quantizer = input_quantizer

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        return super().forward(self.input_quantizer(x))
