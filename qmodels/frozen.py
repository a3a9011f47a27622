"""Frozen IRM folded into the layer before it: the traced graph holds no norm, no multiplication, no addition for it.

FrozenIrm maps q and k by x ratio + offset, with one ratio > 0 and one offset per row n of the qkv layer, so that with
r_n = ratio (1 for the rows of v)

    W'_n = Q(W)_n r_n,   scale'_n = scale_n r_n,   b'_n = b_n r_n + offset_n

The codes Q(W)_n / scale_n stay what they were; only their meaning and the bias change, so that nothing is lost.
"""

import copy

import torch
from torch import Tensor, nn

from hwsim.errors import IllegalModel
from qmodels.layers.frozen_irm import FrozenIrm
from qmodels.layers.quant_attention import QuantAttention
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_window_attention import QuantWindowAttention
from qmodels.quantizer import Quantizer


@torch.no_grad()
def fold(model: nn.Module) -> tuple[str, ...]:
    """Fold, in place, every FrozenIrm of `model`; the names of the attentions that had one.

    Raises IllegalModel where a frozen IRM stands elsewhere.
    """
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(getattr(module, "q_norm", None), FrozenIrm)
        or isinstance(getattr(module, "k_norm", None), FrozenIrm)
    ]
    for name in found:
        attention = model.get_submodule(name)
        if not isinstance(attention, QuantAttention | QuantWindowAttention):
            raise IllegalModel(
                f"{name}: a frozen IRM is folded into the qkv layer of timm's Attention or WindowAttention, got "
                f"{type(attention).__name__}; choose irm=layernorm"
            )
        _fold(attention.qkv, attention.q_norm, attention.k_norm)
        attention.q_norm, attention.k_norm = nn.Identity(), nn.Identity()
    return tuple(found)


def _fold(qkv: QuantLinear, q_norm: nn.Module, k_norm: nn.Module) -> None:
    """Make the rows of `qkv` for q and k what the norms behind them make of them."""
    ratio, offset = torch.ones(qkv.out_features).to(qkv.weight), torch.zeros(qkv.out_features).to(qkv.weight)
    third = qkv.out_features // 3
    for norm, rows in ((q_norm, slice(third)), (k_norm, slice(third, 2 * third))):
        assert isinstance(norm, FrozenIrm)
        ratio[rows], offset[rows] = (values.flatten() for values in norm.line())
    quantizer, weight = qkv.weight_quantizer, qkv.weight
    qkv.weight = nn.Parameter(quantizer(weight) * ratio[:, None])
    qkv.bias = nn.Parameter(offset if qkv.bias is None else qkv.bias * ratio + offset)
    if isinstance(quantizer, Quantizer):
        qkv.weight_quantizer = _rescaled(quantizer, weight, ratio)


def _rescaled(quantizer: Quantizer, weight: Tensor, ratio: Tensor) -> Quantizer:
    """The `quantizer` of `weight` with one scale per row, each its old one times the row's `ratio`."""
    new = copy.deepcopy(quantizer)
    scale, zero_point = (
        quantizer.spread(values, weight) for values in (quantizer.positive_scale(), quantizer.zero_point)
    )
    new.axis = 0
    for name, values in (("scale", scale * ratio), ("zero_point", zero_point.expand_as(ratio).clone())):
        old = getattr(new, name)
        setattr(new, name, nn.Parameter(values) if isinstance(old, nn.Parameter) else values)
    return new
