"""Scale reparametrization: a layer whose input has one scale per input channel gets an input with one scale.

The formulas are those of `qmodels.reparametrization`. The map from x to x' goes into the LayerNorm that feeds the layer and
nothing else (`sources`), else into a ChannelAffine before the quantizer. Then follows the one inexact step, whose loss is
measured: W' is not on the grid of the weights and is quantized again, per output channel with the scales searched anew;
b' is made of the quantized W'. W is what the weight quantizer gave, the weights that the model has.

Source: I&S-ViT (arXiv 2311.10126), stage 2 of its smooth optimisation, as in RepQ-ViT; departs from both in that it also
applies to layers that no LayerNorm feeds, and to weights that are on a grid already.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qmodels import data, models
from qmodels.layers.channel_affine import ChannelAffine
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizer import Quantizer
from qmodels.quantizers.binary import Binary
from qmodels.quantizers.lsq import Lsq
from qmodels.quantizers.lsq_plus import LsqPlus
from qmodels.quantizers.uniform import Uniform
from qmodels.reparametrization import Layer, Map, along_weight, into_norm, shift_bias, to_one
from qmodels.sources import Source, sources
from workloads.workload import Workload

UNIFORM = Binary | Lsq | LsqPlus | Uniform


@dataclass(frozen=True, slots=True)
class Fold:
    """One layer that was mended; `into` is the module that holds the map: a LayerNorm, a ChannelAffine, "" for none.

    spread: largest over smallest s_k. moved: largest |r2_k|. weight_error: |Q(W') - W'| / |W'| (Frobenius). sqnr_db: of
    the layer's output for the same input codes; infinite where its weights are not quantized.
    """

    layer: str
    into: str
    channels: int
    spread: float
    moved: int
    weight_error: float
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class FoldReport:
    """What was folded, and what cannot be, as (module, reason). sqnr_db: of the model's output, before against after."""

    images: int
    folds: tuple[Fold, ...]
    refused: tuple[tuple[str, str], ...]
    sqnr_db: float

    def __str__(self) -> str:
        if not self.folds and not self.refused:
            return "input scales folded: none, no layer has one scale per input channel"
        inserted = sum(fold.into.endswith(".input_affine") for fold in self.folds)
        normed = sum(bool(fold.into) for fold in self.folds) - inserted
        lines = [
            f"input scales folded: {len(self.folds)} layers, {normed} into a LayerNorm, {inserted} by an inserted "
            f"multiplication; SQNR of the model's output {self.sqnr_db:.1f} dB on {self.images} images"
        ]
        wide, into = (max((len(getattr(f, key)) for f in self.folds), default=0) for key in ("layer", "into"))
        into = max(into, len("folded into"))
        if self.folds:
            heads = "channels  largest/smallest scale  zero points moved by  weight error  output SQNR"
            lines.append(f"  {'layer':{wide}}  {'folded into':{into}}  {heads}")
        lines += [
            f"  {f.layer:{wide}}  {f.into or '-':{into}}  {f.channels:8}  {f.spread:22.3g}  {f.moved:20}"
            f"  {f.weight_error:12.2%}  {f.sqnr_db:8.1f} dB"
            for f in self.folds
        ]
        return "\n".join([*lines, *(f"  {name}: cannot be folded: {reason}" for name, reason in self.refused)])


@dataclass(slots=True)
class _Plan:
    """What becomes of a layer: the map of its channels, its new quantizers and weights W'.

    `change` is Q(W') / r1 - W, the weights' error in the layer's old terms; `signal` and `noise` are what it does.
    """

    path: str
    layer: Layer
    norm: str
    map: Map
    quantizer: Quantizer
    weight_quantizer: nn.Module
    weight: Tensor
    change: Tensor
    fold: Fold
    signal: float = 0.0
    noise: float = 0.0


@torch.no_grad()
def fold_input_scales(model: nn.Module, images: Tensor) -> FoldReport:
    """Mend, in place, every Linear and Conv2d of `model` whose input has one scale per input channel.

    images: (B, C, H, W) in the dtype of `model`, on which the losses are measured. All is said and measured of the model
    in eval mode.
    """
    plans, refused = _plans(model, sources(model, tuple(images.shape[1:])))
    was_training = model.training
    handles = [plan.layer.register_forward_hook(_measure(plan)) for plan in plans]
    before = model.eval()(images)
    for handle in handles:
        handle.remove()
    for plan in plans:
        _apply(model, plan)
    loss = _decibels(before.square().sum().item(), (model(images) - before).square().sum().item())
    model.train(was_training)
    folds = tuple(replace(plan.fold, sqnr_db=_decibels(plan.signal, plan.noise)) for plan in plans)
    return FoldReport(len(images), folds, refused, loss)


def images_of(workload: Workload) -> Tensor:
    """Images (B, C, H, W) in float64 for the losses: the first 64 training images of the digits, else random ones."""
    if workload.dataset.kind == "digits":
        return data.load(workload, "train", limit=64)[0].double()
    return torch.randn(
        2, *models.image_of(workload.model), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )


def _plans(model: nn.Module, found: dict[str, Source]) -> tuple[list[_Plan], tuple[tuple[str, str], ...]]:
    """A plan for each layer that can be mended, and (module, reason) for each that cannot."""
    plans, refused = [], []
    for path, module in model.named_modules():
        if isinstance(module, QuantMatMul):
            for name, axis in (("a_quantizer", -1), ("b_quantizer", -2)):
                if _scaled_along(getattr(module, name), axis, found.get(f"{path}.{name}")):
                    refused.append((f"{path}.{name}", "no operand of this product is a weight; quantize per head"))
        if not isinstance(module, Layer):
            continue
        quantizer, source = module.input_quantizer, found.get(f"{path}.input_quantizer")
        if _scaled_along(quantizer, -1 if isinstance(module, QuantLinear) else 1, source):
            if isinstance(quantizer, UNIFORM):
                plan = _plan(path, module, source.norm)
                if isinstance(module, QuantConv2d) and module.pads and plan.map.shift.any():
                    refused.append(
                        (path, "its padding is real zeros, which other zero points move; quantize per tensor")
                    )
                else:
                    plans.append(plan)
            else:
                refused.append((path, f"the grid of {type(quantizer).__name__} is not uniform; quantize per tensor"))
        elif isinstance(module, QuantConv2d) and getattr(quantizer, "axis", None) is not None:
            refused.append((path, f"its scales lie along axis {quantizer.axis}, not 1; quantize per tensor"))
    return plans, tuple(refused)


def _scaled_along(quantizer: nn.Module, axis: int, source: Source | None) -> bool:
    """Whether the quantizer is in use and has one scale per index of this axis of its input."""
    if not isinstance(quantizer, Quantizer) or quantizer.axis is None or source is None:
        return False
    return quantizer.axis % source.rank == axis % source.rank


def _plan(path: str, layer: Layer, norm: str) -> _Plan:
    old, dtype = layer.input_quantizer, layer.weight.dtype
    new, found = to_one(old)
    current = layer.weight_quantizer(layer.weight).double()
    wanted = current * along_weight(found.r1, layer)
    weight, weight_quantizer = wanted.to(dtype), copy.deepcopy(layer.weight_quantizer)
    if isinstance(weight_quantizer, Quantizer) and not torch.equal(wanted, current):
        weight_quantizer.initialise(weight)
    got = weight_quantizer(weight).double()
    error = ((got - wanted).norm() / wanted.norm().clamp(min=torch.finfo(torch.float64).tiny)).item()
    fold = Fold(
        layer=path,
        into=(norm or f"{path}.input_affine") if not found.is_identity else "",
        channels=len(found.r1),
        spread=(found.r1.max() / found.r1.min()).item(),
        moved=int(found.r2.abs().max()),
        weight_error=error,
        sqnr_db=math.inf,
    )
    change = (got / along_weight(found.r1, layer) - current).to(dtype)
    return _Plan(path, layer, norm, found, new, weight_quantizer, weight, change, fold)


def _measure(plan: _Plan) -> Callable[[Layer, tuple[Tensor, ...], Tensor], None]:
    """A hook that adds up the power of the layer's output, and of the change in it for the same input codes."""

    def hook(layer: Layer, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = layer.input_quantizer(inputs[0])
        change = F.linear(x, plan.change) if isinstance(layer, QuantLinear) else layer.product(x, plan.change, None)
        plan.signal += output.square().sum().item()
        plan.noise += change.square().sum().item()

    return hook


def _apply(model: nn.Module, plan: _Plan) -> None:
    """Make the layer what the plan says, and put the map to x' before it."""
    layer, dtype = plan.layer, plan.layer.weight.dtype
    layer.weight.copy_(plan.weight)
    layer.input_quantizer, layer.weight_quantizer = plan.quantizer, plan.weight_quantizer
    shift_bias(layer, plan.map.shift, layer.weight_quantizer(layer.weight))
    if not plan.fold.into:
        return
    if plan.norm:
        into_norm(model.get_submodule(plan.norm), plan.map)
    else:
        shape = (-1,) if isinstance(layer, QuantLinear) else (-1, 1, 1)
        shift = plan.map.shift.to(dtype).reshape(shape) if plan.map.shift.any() else None
        layer.input_affine = ChannelAffine((1 / plan.map.r1).to(dtype).reshape(shape), shift)


def _decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise): infinite without noise."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
