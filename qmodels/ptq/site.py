"""Site: one product of a model, with its two quantizers: a layer's input and weight, or both operands of a matrix product."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The product `module` at `path`. further: a bias (N,) that a layer is called with beside its own."""

    path: str
    module: QuantLinear | QuantConv2d | QuantMatMul
    further: Tensor | None = None

    @property
    def is_layer(self) -> bool:
        """Whether the second operand is a weight."""
        return not isinstance(self.module, QuantMatMul)

    @property
    def bias(self) -> Tensor | None:
        """What a layer adds to its product; None where that is nothing."""
        own = self.module.bias if self.is_layer else None
        return self.further if own is None else own if self.further is None else own + self.further

    @property
    def operands(self) -> tuple[tuple[str, nn.Module], tuple[str, nn.Module]]:
        """Names and modules of the quantizers: of the activation and the weight, or of both activations."""
        names = ("input_quantizer", "weight_quantizer") if self.is_layer else ("a_quantizer", "b_quantizer")
        return (names[0], getattr(self.module, names[0])), (names[1], getattr(self.module, names[1]))

    def values(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The operands, not quantized, of a call of the module with `inputs`."""
        if self.is_layer:
            return self.module.input_affine(inputs[0]), self.module.weight
        return inputs[0], inputs[1]

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """The site's result for operands as they are; a layer's includes its bias."""
        if isinstance(self.module, QuantLinear):
            return F.linear(a, b, self.bias)
        if isinstance(self.module, QuantConv2d):
            return self.module.product(a, b, self.bias)
        return torch.matmul(a, b)
