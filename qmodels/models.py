"""Float models from timm, and the insertion of quantizers into them, in place: there is no second definition of a ViT.

`create(name)` builds timm's model without fused attention. `quantize(model, bits, method)` replaces every nn.Linear and
nn.Conv2d by its quantized layer and every attention by one whose products are modules. The patch embedding and the
classifier heads are at `bits.ends`, all else at `bits.weights` and `bits.activations`; 32 bits insert nn.Identity.
Weight scales are set from the weights at insertion, activation scales are 1 until `qmodels.calibrate.calibrate`. IRM
needs a quantizer to rectify for: where activations are float it is left out, so a model at W32A32 is the float model.
"""

from typing import Any

from torch import nn

from hwsim import catalog
from hwsim.errors import HwsimError, IllegalModel
from qmodels import (
    quantizer,
    torchvision_shim,  # noqa: F401 - before timm
)
from workloads import models as known
from workloads.bits import Bits

# isort: split
import timm
import timm.layers
from timm.layers import Attention
from timm.models.swin_transformer import WindowAttention

from qmodels.layers.irm import Irm
from qmodels.layers.quant_attention import QuantAttention
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.layers.quant_window_attention import QuantWindowAttention
from qmodels.method import Method, Slot


def create(name: str, pretrained: bool = False, **overrides: Any) -> nn.Module:
    """The float model `name` of `workloads.models` in eval mode, with random weights or timm's pretrained ones.

    `overrides` go to timm.create_model. Without a network, weights come from a file: checkpoint_path=FILE, or
    pretrained=True with pretrained_cfg_overlay={"file": FILE}.
    """
    model = known.find(name)
    timm.layers.set_fused_attn(False)
    arguments = {**dict(model.overrides), **overrides}
    try:
        return timm.create_model(model.timm, pretrained=pretrained, **arguments).eval()
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise HwsimError(
            f"{name}: weights cannot be loaded, got {type(error).__name__}: {reason}; without a network give "
            "checkpoint_path=FILE, or pretrained_cfg_overlay={'file': FILE}"
        ) from error


def quantize(model: nn.Module, bits: Bits, method: Method | str, *, initialise: bool = True) -> nn.Module:
    """Insert the quantizers of `method` at `bits` into `model`, in place, and return it.

    `initialise` searches the scales of the weights; without it they are 1, which is enough for shapes and costs.
    """
    if isinstance(method, str):
        method = catalog.find("qmodels.methods", method, "method")
    ends = _ends(model)
    for name, module in list(model.named_modules()):
        if type(module) in (nn.Linear, nn.Conv2d):
            end = name in ends
            w_bits, a_bits = (bits.ends, bits.ends) if end else (bits.weights, bits.activations)
            _replace(model, name, _quant_layer(module, w_bits, a_bits, method, initialise))
    for name, module in list(model.named_modules()):
        if type(module) in (Attention, WindowAttention):
            _replace(model, name, _quant_attention(name, module, bits.activations, method))
        elif type(module).__name__.lower().endswith("attention") and not isinstance(
            module, QuantAttention | QuantWindowAttention
        ):
            raise IllegalModel(f"{name}: attention must be Attention or WindowAttention of timm, got {type(module)}")
    return model


def _ends(model: nn.Module) -> set[str]:
    """Names of the first and last layers: the patch embedding's convolution and the classifier heads."""
    heads = model.get_classifier()
    heads = heads if isinstance(heads, tuple) else (heads,)
    return {n for n, m in model.named_modules() if n == "patch_embed.proj" or any(m is h for h in heads)}


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module.train(model.training))


def _quant_layer(layer: nn.Module, w_bits: int, a_bits: int, method: Method, initialise: bool) -> nn.Module:
    slot = method.weights
    weights = quantizer.make(
        slot.quantizer, w_bits, signed=slot.signed, axis=0, size=layer.weight.shape[0], batched=False
    )
    if initialise and isinstance(weights, quantizer.Quantizer):
        weights.initialise(layer.weight)
    linear = isinstance(layer, nn.Linear)
    axis, size = None, 1
    if method.per_input_channel:
        axis, size = (-1, layer.in_features) if linear else (1, layer.in_channels)
    inputs = quantizer.make(method.inputs.quantizer, a_bits, signed=method.inputs.signed, axis=axis, size=size)
    return (QuantLinear if linear else QuantConv2d)(layer, inputs, weights)


def _quant_attention(name: str, attention: nn.Module, a_bits: int, method: Method) -> nn.Module:
    def activation(slot: Slot) -> nn.Module:
        axis, size = (1, attention.num_heads) if method.per_head else (None, 1)
        return quantizer.make(slot.quantizer, a_bits, signed=slot.signed, axis=axis, size=size)

    qk = QuantMatMul(activation(method.qkv), activation(method.qkv))
    av = QuantMatMul(activation(method.softmax), activation(method.qkv))
    q_norm = k_norm = None
    if method.irm and a_bits != 32:
        if not isinstance(getattr(attention, "q_norm", nn.Identity()), nn.Identity):
            raise IllegalModel(f"{name}: IRM needs q and k without a norm of their own, got one; choose method lsq")
        head_dim = attention.qkv.out_features // (3 * attention.num_heads)
        q_norm, k_norm = Irm(head_dim), Irm(head_dim)
    kind = QuantAttention if isinstance(attention, Attention) else QuantWindowAttention
    return kind(attention, qk, av, q_norm, k_norm)
