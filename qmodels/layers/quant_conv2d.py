"""QuantConv2d: a convolution of quantized x (B, C, H, W) with quantized W (N, C, kh, kw), bias (N,) float.

With a zero point, a padded zero is not the code 0, so padding other than 0 is refused (patch embeddings have
none). Parameters keep the names of nn.Conv2d. `input_affine` is empty until `qmodels.folding` puts a ChannelAffine there.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.errors import IllegalModel


class QuantConv2d(nn.Conv2d):
    """An nn.Conv2d between an `input_quantizer` and a `weight_quantizer`; takes over the parameters of `conv`."""

    def __init__(self, conv: nn.Conv2d, input_quantizer: nn.Module, weight_quantizer: nn.Module) -> None:
        if conv.padding not in ((0, 0), "valid"):
            raise IllegalModel(f"conv2d: padding must be 0, got {conv.padding}; pad before the convolution")
        nn.Module.__init__(self)
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
            setattr(self, name, getattr(conv, name))
        self.padding_mode, self.transposed, self.output_padding = "zeros", False, (0, 0)
        self.weight, self.bias = conv.weight, conv.bias
        self.input_affine = nn.Identity()
        self.input_quantizer, self.weight_quantizer = input_quantizer, weight_quantizer

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, N, H', W')."""
        weight = self.weight_quantizer(self.weight)
        x = self.input_quantizer(self.input_affine(x))
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
