"""How wide the operands of each product are: what a plan gives to a model, and what a quantized model has.

Products are called by their module paths, as in the graph: layers by their own, the two of an attention ATTENTION.qk and
ATTENTION.av. Widths are (a_bits, w_bits), of the first and the second operand, as in a bits file (`hwsim.accel.layer_bits`);
32 is float.
"""

from collections.abc import Iterator, Mapping

from torch import nn

from hwsim.accel.layer_bits import WIDEST, LayerBits, Widths, legal
from hwsim.cost.groups import ENDS, group_of
from hwsim.errors import HwsimError
from hwsim.op import Op
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.spec import FLOAT_BITS
from qmodels import (
    attentions,
    torchvision_shim,  # noqa: F401 - before timm
)
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.method import Method
from workloads.bits import Bits

# isort: split
import timm.layers

LINEARS = (nn.Linear, timm.layers.Linear)
"""Linear layers that have a quantized form."""
SOURCE = "layer_bits"
"""What errors call the widths of layers."""


def is_layer(name: str, module: nn.Module) -> bool:
    """Whether the module at the path `name` is a float layer that gets quantizers."""
    return (type(module) in LINEARS or isinstance(module, nn.Conv2d)) and not attentions.of_positions(name)


def uniform(model: nn.Module, bits: Bits, method: Method) -> dict[str, Widths]:
    """The widths that `bits` and `method` give to every product of `model`, float or quantized."""
    found = {}
    for name, op in _products(model):
        weights = bits.activations if isinstance(op, MatMul) else bits.weights
        found[name] = (bits.ends, bits.ends) if group_of(name, op) in ENDS else (bits.activations, weights)
    return settled(found, method)


def settled(pairs: Mapping[str, Widths], method: Method) -> dict[str, Widths]:
    """`pairs` with the width that `method` gives to what the softmax makes, where it gives one."""
    own = method.softmax_bits
    return {
        name: (own, b) if own and a != FLOAT_BITS and group_of(name, MatMul()) == "av" else (a, b)
        for name, (a, b) in pairs.items()
    }


def planned(
    model: nn.Module, bits: Bits, method: Method, layer_bits: Mapping[str, Widths] | None = None
) -> dict[str, Widths]:
    """The widths of every product of `model`: those of the last name or pattern of `layer_bits` that matches it, else
    those that `bits` gives it; of the softmax's output that of `method`, where it gives one.

    Raises HwsimError for a name that no product has, and for widths that are not 1..10 or 32.
    """
    given = layer_bits or {}
    for name, pair in given.items():
        if len(pair) != 2 or not all(legal(width, WIDEST) for width in pair):
            raise HwsimError(
                f"{SOURCE}: {name} must have (a_bits, w_bits), each 1..{WIDEST} or 32, got {pair!r}; write (8, 4)"
            )
    known = uniform(model, bits, method)
    return settled(LayerBits((*known.items(), *given.items()), source=SOURCE).resolve(known), method)


def of(model: nn.Module) -> dict[str, Widths]:
    """The widths that every product of the quantized `model` has."""
    layers = model.named_modules()
    return {name: own(layer) for name, layer in layers if isinstance(layer, (QuantLinear, QuantConv2d, QuantMatMul))}


def own(layer: nn.Module) -> Widths:
    """The widths of one quantized layer or product."""
    a, b = (getattr(layer, slot) for slot in slots(layer))
    return getattr(a, "bits", FLOAT_BITS), getattr(b, "bits", FLOAT_BITS)


def slots(layer: nn.Module) -> tuple[str, str]:
    """Where a quantized layer or product keeps the quantizers of its first and its second operand."""
    if isinstance(layer, QuantMatMul):
        return "a_quantizer", "b_quantizer"
    return "input_quantizer", "weight_quantizer"


def departing(model: nn.Module, bits: Bits, method: Method) -> dict[str, Widths]:
    """The widths of every product of the quantized `model`, where any is not what `bits` and `method` say; else {}."""
    found = of(model)
    return {} if found == uniform(model, bits, method) else found


def _products(model: nn.Module) -> Iterator[tuple[str, Op]]:
    """The name and the operator of every product of a float or a quantized model."""
    for name, module in model.named_modules():
        if isinstance(module, QuantMatMul):
            yield name, MatMul()
        elif isinstance(module, QuantConv2d) or (is_layer(name, module) and isinstance(module, nn.Conv2d)):
            yield name, Conv2d()
        elif isinstance(module, QuantLinear) or is_layer(name, module):
            yield name, Linear()
        for product in attentions.products(name, module):
            yield product, MatMul()
