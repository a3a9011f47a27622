"""Float models from timm, and the insertion of quantizers into them, in place: there is no second definition of a ViT.

`create(name)` builds timm's model without fused attention. `quantize(model, bits, method)` folds batch norms into the
convolutions before them, makes constants of standardized weights, and replaces every nn.Linear and nn.Conv2d by its
quantized layer and every attention by one whose products are modules. The first convolution or patch embedding and the
classifier heads are at `bits.ends`, all else at `bits.weights` and `bits.activations`, but for layers with widths of their
own (`qmodels.widths`); 32 bits insert nn.Identity. Weight scales are set from the weights at insertion, activation scales are
1 until `qmodels.calibrate.calibrate`. IRM needs a quantizer to rectify for: where activations are float it is left out, so a
model at W32A32 is the float model.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from hwsim import catalog
from hwsim.accel.layer_bits import Widths
from hwsim.cost.groups import ENDS, group_of
from hwsim.errors import HwsimError, IllegalModel
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.spec import FLOAT_BITS
from qmodels import (
    quantizer,
    torchvision_shim,  # noqa: F401 - before timm
)
from workloads import models as known
from workloads.bits import Bits

# isort: split
import timm
import timm.layers

from qmodels import attentions, widths
from qmodels import method as methods
from qmodels.batch_norm import fold_batch_norms
from qmodels.layers.clipped import Clipped
from qmodels.layers.grouped_linear import ChannelGroups, GroupedLinear, sizes
from qmodels.layers.quant_conv2d import QuantConv2d, pads
from qmodels.layers.quant_layer_norm import QuantLayerNorm, channels_of
from qmodels.layers.quant_linear import QuantLinear
from qmodels.method import Method, Slot
from qmodels.weight_standardization import CONVOLUTIONS, bake


def create(name: str, pretrained: bool = False, **overrides: Any) -> nn.Module:
    """The float model `name`, of `workloads.models` or of timm, in eval mode, with random weights or timm's pretrained ones.

    `overrides` go to timm.create_model. Without a network, weights come from a file: checkpoint_path=FILE, or
    pretrained=True with pretrained_cfg_overlay={"file": FILE}. Raises UnknownName where timm has no such model.
    """
    model = known.find(name)
    _need_known(model)
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


def image_of(model: known.Model) -> tuple[int, int, int]:
    """(C, H, W) of the images that `model` takes: its own, or those of timm's default configuration."""
    if model.image:
        return model.image
    _need_known(model)
    channels, height, width = timm.get_pretrained_cfg(model.timm).input_size
    return channels, height, width


def _need_known(model: known.Model) -> None:
    if not timm.is_model(model.timm):
        raise catalog.unknown("model", model.name, {*known.names(), *timm.list_models()})


def quantize(
    model: nn.Module,
    bits: Bits,
    method: Method | str,
    *,
    initialise: bool = True,
    image: tuple[int, int, int] | None = None,
    layer_bits: Mapping[str, Widths] | None = None,
) -> nn.Module:
    """Insert the quantizers of `method` (a name is looked up by `qmodels.method.find`) at `bits` into `model`, in place.

    `initialise` searches the scales of the weights; without it they are 1, which is enough for shapes and costs. `image`
    is (C, H, W) of the images that a model with batch norms takes, where they are not those of timm's configuration.
    `layer_bits` are widths (a_bits, w_bits) of products by name or pattern, of which the last match holds, where `bits` does
    not: `dict(LayerBits.read(FILE).widths)` of a bits file. Raises HwsimError for those that fit no product.
    """
    if isinstance(method, str):
        method = methods.find(method)
    fold_batch_norms(model, image or tuple(model.pretrained_cfg["input_size"]))
    layers = {name: module for name, module in model.named_modules() if widths.is_layer(name, module)}
    _check_ends(model, layers)
    own, behind_gelu = widths.planned(model, bits, method, layer_bits), _behind_gelu(model)
    grouped = _behind_norm(model) if method.groups else set()
    for name, layer in layers.items():
        a_bits, w_bits = own[name]
        slot = method.gelu if method.gelu and name in behind_gelu else method.inputs
        _replace(model, name, _quant_layer(name, layer, slot, w_bits, a_bits, method, initialise))
        if name in grouped and a_bits != FLOAT_BITS:
            _replace(model, name, _grouped(name, model.get_submodule(name), slot, a_bits, method))
    if method.biases:
        _give_biases(model)
    if method.norm_inputs and bits.activations != FLOAT_BITS:
        _quantize_norm_inputs(model, bits.activations, method, method.norm_inputs)
    for name in behind_gelu.values() if method.gelu_clip and bits.activations != FLOAT_BITS else ():
        _replace(model, name, Clipped(model.get_submodule(name), method.gelu_clip))
    for name, module in list(model.named_modules()):
        attention = attentions.quantized(name, module, own, method)
        if attention is not None:
            _replace(model, name, attention)
    return model


def _give_biases(model: nn.Module) -> None:
    """Give every quantized layer without a bias one of zeros, for methods that correct biases."""
    for module in model.modules():
        if isinstance(module, QuantLinear | QuantConv2d) and module.bias is None:
            module.bias = nn.Parameter(module.weight.new_zeros(module.weight.shape[0]))


def _quantize_norm_inputs(model: nn.Module, bits: int, method: Method, slot: Slot) -> None:
    """Put a quantizer with a scale per channel before every LayerNorm over the channels alone.

    It is as wide as the activations of the workload, whatever widths products have: it feeds none.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
            with quantizer.named(name):
                size, axis = module.normalized_shape[0], channels_of(module)
                own = quantizer.make(slot.quantizer, bits, signed=slot.signed, axis=axis, size=size, start=method.start)
            _replace(model, name, QuantLayerNorm(module, own))


def _check_ends(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    """Raise IllegalModel where timm calls another layer the first convolution or the classifier than the cost model, whose
    ends are the groups patch_embed and head."""
    ends = {n for n, m in layers.items() if group_of(n, Linear() if isinstance(m, nn.Linear) else Conv2d()) in ENDS}
    said = [model.pretrained_cfg.get(key) or () for key in ("first_conv", "classifier")]
    for name in (name for names in said for name in ((names,) if isinstance(names, str) else names)):
        if name in layers and name not in ends:
            raise IllegalModel(
                f"{name}: the first and the last layer must be of the groups {' and '.join(ENDS)}, got "
                f"{group_of(name, Conv2d())}; name it in hwsim/cost/groups.py"
            )


def _behind_gelu(model: nn.Module) -> dict[str, str]:
    """The layers whose input is what a GELU made, each with the path of its GELU: the second layers of timm's MLPs."""
    found = {}
    for name, module in model.named_modules():
        for act, layer in (("act", "fc2"), ("mlp_act", "mlp_out2")):
            if "GELU" in type(getattr(module, act, None)).__name__ and hasattr(module, layer):
                found[f"{name}.{layer}".lstrip(".")] = f"{name}.{act}".lstrip(".")
    return found


def _behind_norm(model: nn.Module) -> set[str]:
    """The first layers of attentions and MLPs of timm's blocks, which a LayerNorm stands before."""
    return {
        f"{name}.{layer}".lstrip(".")
        for name, module in model.named_modules()
        for norm, layer in (("norm1", "attn.qkv"), ("norm2", "mlp.fc1"))
        if isinstance(getattr(module, norm, None), nn.LayerNorm) and isinstance(_below(module, layer), nn.Linear)
    }


def _below(module: nn.Module, path: str) -> nn.Module | None:
    """The module at `path` in `module`, None where there is none."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _grouped(name: str, layer: QuantLinear, slot: Slot, bits: int, method: Method) -> GroupedLinear:
    """`layer` with a quantizer of the slot for each of the method's groups of input channels."""
    if method.groups > layer.in_features:
        raise IllegalModel(
            f"{name}: groups must be at most {layer.in_features} channels, got {method.groups}; lower it"
        )
    channels = sizes(layer.in_features, method.groups)
    with quantizer.named(name):
        quantizers = [
            quantizer.make(slot.quantizer, bits, signed=slot.signed, start=method.start, channels=n) for n in channels
        ]
    return GroupedLinear(layer, ChannelGroups(quantizers, layer.in_features), layer.weight_quantizer)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module.train(model.training))


def _quant_layer(
    name: str, layer: nn.Module, inputs: Slot, w_bits: int, a_bits: int, method: Method, initialise: bool
) -> nn.Module:
    """The quantized form of `layer`, whose input goes to a quantizer of the slot `inputs`."""
    linear = isinstance(layer, nn.Linear)
    if not linear and type(layer) not in CONVOLUTIONS:
        kinds = ", ".join(kind.__name__ for kind in CONVOLUTIONS)
        raise IllegalModel(f"{name}: a convolution must be one of {kinds}, got {type(layer)}; replace it")
    same = not linear and bake(layer)
    make = partial(quantizer.make, scale_gradient=method.scale_gradient)
    slot = method.weights
    axis, size = (None, 1) if method.weights_per_tensor else (0, layer.weight.shape[0])
    if method.weights_per_tensor and slot.quantizer in ("lsq", "uniform") and name.endswith("qkv"):
        axis, size = 0, 3  # q, k and v are three tensors in one
    with quantizer.named(name):
        weights = make(
            slot.quantizer, w_bits, signed=slot.signed, axis=axis, size=size, batched=False, start=method.weight_start
        )
    if initialise and isinstance(weights, quantizer.Quantizer):
        weights.initialise(layer.weight)
    axis, size = None, 1
    if method.per_input_channel:
        axis, size = (-1, layer.in_features) if linear else (1, layer.in_channels)
    made_for = {"channels": layer.in_features} if linear else {"pads": pads(layer, same)}
    with quantizer.named(name):
        own = make(inputs.quantizer, a_bits, signed=inputs.signed, axis=axis, size=size, start=method.start, **made_for)
        return QuantLinear(layer, own, weights) if linear else QuantConv2d(layer, own, weights, same)
