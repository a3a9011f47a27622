"""QuantConv2d: a convolution of quantized x (B, C, H, W) with quantized W (N, C / groups, kh, kw), bias (N,) float.

Padding is put around the quantized image and holds real zeros, for which every grid with an integer zero point has a code.
With `same`, it is what makes the output ceil(H / stride) high, more of it behind than before (TensorFlow's rule).
Parameters keep the names of nn.Conv2d. `input_affine` is empty until `qmodels.folding` puts a ChannelAffine there. A real
offset of the input's grid goes through the weights into the bias, as in QuantLinear, where nothing is padded.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.errors import IllegalModel
from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.layers.padding import pad_same

from qmodels.quantizer import with_offset


def pads(conv: nn.Conv2d, same: bool) -> bool:
    """Whether `conv`, padded by TensorFlow's rule where `same`, may put zeros around its input."""
    return same or conv.padding not in ((0, 0), "valid")


class QuantConv2d(nn.Conv2d):
    """An nn.Conv2d between an `input_quantizer` and a `weight_quantizer`; takes over the parameters of `conv`."""

    def __init__(
        self, conv: nn.Conv2d, input_quantizer: nn.Module, weight_quantizer: nn.Module, same: bool = False
    ) -> None:
        if conv.padding_mode != "zeros":
            raise IllegalModel(f"conv2d: padding must be zeros, got {conv.padding_mode!r}; pad before the convolution")
        nn.Module.__init__(self)
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
            setattr(self, name, getattr(conv, name))
        self.padding_mode, self.transposed, self.output_padding = "zeros", False, (0, 0)
        self.same = same
        self.weight, self.bias = conv.weight, conv.bias
        self.input_affine = nn.Identity()
        self.input_quantizer, self.weight_quantizer = input_quantizer, weight_quantizer
        offset = getattr(input_quantizer, "offset", None)
        if offset is not None and (self.pads or len(offset) > 1):
            found = "'same'" if same else self.padding
            raise IllegalModel(
                f"conv2d: an input with a real offset must be per tensor and not padded, got padding {found} and "
                f"{len(offset)} offsets; use lsq_plus, whose zero point is a code"
            )

    @property
    def pads(self) -> bool:
        """Whether it may put zeros around its input."""
        return pads(self, self.same)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution alone, of operands as they are."""
        if self.same:
            x = pad_same(x, list(self.kernel_size), list(self.stride), list(self.dilation))
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, N, H', W')."""
        x, weight = self.input_affine(x), self.weight_quantizer(self.weight)
        return self.product(self.input_quantizer(x), weight, with_offset(self.bias, self.input_quantizer, x, weight))
