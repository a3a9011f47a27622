"""Quantizers into attention: what an attention module of timm becomes, so that its two products are modules.

The plain Attention and Swin's WindowAttention are written out (`layers/quant_attention.py`, `quant_window_attention.py`);
every other class of `layers/quant_products.ATTENTIONS` keeps its own forward and has its products redirected. Networks that
make position biases stay float: what they make is a constant of the graph, added to float scores.
"""

from collections.abc import Mapping

from torch import nn

from hwsim.accel.layer_bits import Widths
from hwsim.errors import IllegalModel
from hwsim.spec import FLOAT_BITS
from qmodels import (
    quantizer,
    torchvision_shim,  # noqa: F401 - before timm
)

# isort: split
from timm.layers import Attention
from timm.models.swin_transformer import WindowAttention

from qmodels.layers.affine_irm import AffineIrm
from qmodels.layers.frozen_irm import FrozenIrm
from qmodels.layers.irm import Irm
from qmodels.layers.quant_attention import QuantAttention
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.layers.quant_products import ATTENTIONS, DIFFERENCES, insert
from qmodels.layers.quant_window_attention import QuantWindowAttention
from qmodels.layers.rectifier import Rectifier
from qmodels.method import Method, Slot

_POSITIONS = {"cpb_mlp", "meta_mlp", "rel_pos", "shared_rel_pos"}
"""What timm calls the networks that make position biases."""


def of_positions(name: str) -> bool:
    """Whether the layer at the path `name` sees positions and no image: its results are constants, and it stays float."""
    return not _POSITIONS.isdisjoint(name.split("."))


def products(name: str, module: nn.Module) -> tuple[str, ...]:
    """The names of both products of the float attention at the path `name`; () where it is none that is known."""
    if type(module) not in (*ATTENTIONS, WindowAttention):
        return ()
    return f"{name}.qk".lstrip("."), f"{name}.av".lstrip(".")


def quantized(name: str, module: nn.Module, widths: Mapping[str, Widths], method: Method) -> nn.Module | None:
    """The module at the path `name` with quantizers of `method` before its products, None where it is no attention.

    `widths` says how wide the operands of the two are, by their names (`products`). Raises IllegalModel for an attention of a
    class that is not known, and where IRM has no place.
    """
    kind = type(module)
    if kind not in (*ATTENTIONS, WindowAttention):
        if kind.__name__.endswith("Attention") and not isinstance(module, QuantAttention | QuantWindowAttention):
            raise IllegalModel(
                f"{name}: an attention must be of a class that is known, got {kind.__module__}.{kind.__name__}; where it "
                "multiplies twice, q k^T and A v, add it to qmodels/layers/quant_products.py"
            )
        return None
    heads = module.num_heads
    qk_heads = 2 * heads if kind in DIFFERENCES else heads

    def activation(slot: Slot, size: int, bits: int) -> nn.Module:
        axis, size = (1, size) if method.per_head else (None, 1)
        start, gradient = method.start, method.scale_gradient
        return quantizer.make(
            slot.quantizer, bits, signed=slot.signed, axis=axis, size=size, start=start, scale_gradient=gradient
        )

    scores, result = products(name, module)
    (q_bits, k_bits), (map_bits, v_bits) = widths[scores], widths[result]
    with quantizer.named(scores):
        qk = QuantMatMul(activation(method.qkv, qk_heads, q_bits), activation(method.qkv, qk_heads, k_bits))
    with quantizer.named(result):
        av = QuantMatMul(activation(method.softmax, heads, map_bits), activation(method.qkv, heads, v_bits))
    irm = method.irm != "none" and q_bits != FLOAT_BITS
    q_norm, k_norm = (_irm(name, module, method), _irm(name, module, method)) if irm else (None, None)
    if kind is WindowAttention:
        return QuantWindowAttention(module, qk, av, q_norm, k_norm)
    if kind is Attention and module.gate is None and isinstance(module.norm, nn.Identity):
        return QuantAttention(module, qk, av, q_norm, k_norm)
    if irm:
        module.q_norm, module.k_norm = q_norm, k_norm
    return insert(module, qk, av)


def _irm(name: str, attention: nn.Module, method: Method) -> Rectifier:
    """A rectification of q or k, in the form that the method says."""
    free = isinstance(attention, WindowAttention) or isinstance(getattr(attention, "q_norm", None), nn.Identity)
    if not free:
        raise IllegalModel(f"{name}: IRM needs q and k without a norm of their own, got one; choose method lsq")
    heads = attention.num_heads
    head_dim = getattr(attention, "head_dim", None) or attention.qkv.out_features // (3 * heads)
    if method.irm == "layernorm":
        return Irm(head_dim)
    if type(attention) not in (Attention, WindowAttention):
        raise IllegalModel(
            f"{name}: IRM in the form {method.irm} needs timm's Attention or WindowAttention, got "
            f"{type(attention).__name__}; choose irm=layernorm"
        )
    return AffineIrm(heads) if method.irm == "affine" else FrozenIrm(heads, head_dim)
