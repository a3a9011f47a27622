"""QuantProducts: any attention of two products, q k^T and A v, with both as QuantMatMul, whatever else it does.

The module keeps the forward of its class: rotary positions, biases, gates, cosines, grouped heads stay as they are. While
it runs, its first torch.matmul goes to `qk` and its second to `av`, and a linear layer of which it takes the weight
alone, to add a bias made of parts, is called with that bias. `ATTENTIONS` are the classes that are known to be of this
kind; another is supported by adding it there. Who looks on, from a hook of a layer inside, does so `aside`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hwsim.errors import IllegalModel
from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.layers import Attention, AttentionPoolLatent, AttentionPoolPrr, AttentionRope, DiffAttention
from timm.models.eva import EvaAttention
from timm.models.swin_transformer_v2 import WindowAttention as WindowAttentionV2
from timm.models.swin_transformer_v2_cr import WindowMultiHeadAttention
from timm.models.vision_transformer import DiffParallelScalingBlock, ParallelScalingBlock
from timm.models.vision_transformer_relpos import RelPosAttention

from qmodels.layers.quant_linear import QuantLinear

DIFFERENCES = (DiffAttention, DiffParallelScalingBlock)
"""Two maps of half the head dimension are made per head and taken off each other: qk has twice as many heads."""

ATTENTIONS = (
    *(Attention, AttentionRope, AttentionPoolLatent, AttentionPoolPrr, EvaAttention, RelPosAttention),
    *(WindowAttentionV2, WindowMultiHeadAttention, ParallelScalingBlock, *DIFFERENCES),
)
_PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)


class QuantProducts(nn.Module):
    """What a module becomes by `insert`, in front of its own class: `qk` and `av` are its products."""

    qk: nn.Module
    av: nn.Module
    aside = False
    """Whether products that are met are none of the attention's own."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """As the module's own class, with the products of quantized operands."""
        with _Redirected(self) as redirected:
            result = super().forward(*args, **kwargs)
        redirected.need_both()
        return cast(Tensor, result)


def insert(attention: nn.Module, qk: nn.Module, av: nn.Module) -> nn.Module:
    """Make the products of `attention`, an instance of one of ATTENTIONS, be `qk` and `av`, in place; and return it."""
    attention.qk, attention.av = qk, av
    attention.__class__ = type(f"Quant{type(attention).__name__}", (QuantProducts, type(attention)), {})
    return attention


@contextmanager
def aside(model: nn.Module) -> Iterator[None]:
    """Within, products are torch's own also where an attention of `model` is in the midst of its forward.

    It does not run from its beginning then: that raises IllegalModel.
    """
    paused = [module for module in model.modules() if isinstance(module, QuantProducts)]
    for module in paused:
        module.aside = True
    try:
        yield
    finally:
        for module in paused:
            module.aside = False


class _Redirected(TorchFunctionMode):
    """Sends each product of `attention` to its module."""

    def __init__(self, attention: QuantProducts) -> None:
        super().__init__()
        self.attention = attention
        self.waiting = [attention.av, attention.qk]

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """A product goes to the next module, a linear layer's weight alone to the layer, all else as it is."""
        if self.attention.aside:
            return function(*args, **(kwargs or {}))
        if function in _PRODUCTS:
            self.need(bool(self.waiting), "more")
            return self.waiting.pop()(*args)
        if function is F.linear:
            x, weight, bias = _linear(*args, **(kwargs or {}))
            for child in self.attention.children():
                if isinstance(child, QuantLinear) and weight is child.weight and bias is not child.bias:
                    return child(x, bias=bias)
        return function(*args, **(kwargs or {}))

    def need_both(self) -> None:
        """Raise IllegalModel unless both products were met."""
        self.need(not self.waiting, str(2 - len(self.waiting)))

    def need(self, condition: bool, got: str) -> None:
        """Raise IllegalModel about the number of products unless `condition`."""
        if not condition:
            raise IllegalModel(
                f"attention: {type(self.attention).__name__} must multiply twice, q k^T and A v, got {got}; "
                "write a layer of its own, as qmodels/layers/quant_attention.py"
            )


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The arguments of F.linear by their names."""
    return input, weight, bias
