"""QuantLinear: y = x_q W_q^T + b, with x (..., K), W (N, K) and b (N,) float.

Parameters keep the names of nn.Linear, so that a float state_dict loads by name; the quantizers are child modules.
`input_affine` is empty until `qmodels.folding` puts a ChannelAffine there. A real offset of the input's grid goes through
the weights into the bias: W_q (x_q + offset) + b = W_q x_q + (b + sum_k W_q offset), which no integer product notices.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from qmodels.quantizer import with_offset


class QuantLinear(nn.Linear):
    """An nn.Linear between an `input_quantizer` and a `weight_quantizer`; takes over the parameters of `linear`."""

    def __init__(self, linear: nn.Linear, input_quantizer: nn.Module, weight_quantizer: nn.Module) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.input_affine = nn.Identity()
        self.input_quantizer, self.weight_quantizer = input_quantizer, weight_quantizer

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(..., K) to (..., N). bias: a further one (N,), of an attention that makes it of parts."""
        if bias is None or self.bias is None:
            return self.product(x, self.bias if bias is None else bias)
        return self.product(x, self.bias + bias)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The same with another bias."""
        x, weight = self.input_affine(x), self.weight_quantizer(self.weight)
        return F.linear(self.input_quantizer(x), weight, with_offset(bias, self.input_quantizer, x, weight))
