"""How much each layer of a fake-quant model loses at each width: the file that `hwsim search` takes.

One layer at a time gets new quantizers of the same kinds at other widths, which are calibrated (nothing is trained); the rest
of the model stays as it was trained. The loss is what that changes in the logits over the images, against the model as it is:

    kl   mean over images of sum over classes of p ln(p / q), in nat; p of the model as it is, q of the changed one
    mse  mean over images and classes of the squared difference of the logits

One layer at a time is the additive assumption: what two layers lose together is taken for the sum (`whole` measures it).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim import catalog
from hwsim.accel.layer_bits import Widths
from hwsim.accel.sensitivities import Sensitivities
from hwsim.cost.groups import ENDS, group_of
from hwsim.errors import HwsimError
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.linear import Linear
from qmodels import quantizer
from qmodels.calibrate import calibrate
from qmodels.evaluation import accuracy, logits
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizer import Quantizer
from qmodels.quantizers.binary import Binary
from qmodels.quantizers.noisy import Noisy
from qmodels.widths import slots

Progress = Callable[[int, int], None]


def kl(reference: Tensor, changed: Tensor) -> float:
    """KL divergence of the predictions of `changed` logits (B, classes) from those of `reference`, in nat."""
    p, q = (part.double().log_softmax(1) for part in (reference, changed))
    return max(0.0, float((p.exp() * (p - q)).sum(1).mean()))


def mse(reference: Tensor, changed: Tensor) -> float:
    """Mean squared difference of logits (B, classes)."""
    return float((reference.double() - changed.double()).square().mean())


LOSSES = {"kl": (kl, "nat"), "mse": (mse, "")}
"""Losses by name, each with its unit."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A setting of all layers measured at once: its loss, and the accuracy beside that of the model as it is."""

    loss: float
    accuracy: float
    accuracy_before: float


@torch.no_grad()
def measure(
    model: nn.Module,
    images: Tensor,
    calibration: Tensor,
    choices: Sequence[Widths],
    *,
    loss: str = "kl",
    ends: bool = False,
    progress: Progress | None = None,
) -> Sensitivities:
    """What each layer of `model` loses on `images` (B, C, H, W) at each of `choices` (a_bits, w_bits).

    New quantizers take their scales from `calibration` images. The patch embedding and the heads stay at their own widths
    unless `ends` are to be measured too; attention products take the choices of two equal widths. Raises HwsimError.
    """
    difference, unit = _loss(loss)
    reference = logits(model, images)
    plan = _plan(model, choices, ends)
    total, done = sum(len(widths) for widths in plan.values()), 0
    layers = []
    for name, widths in plan.items():
        losses = []
        for pair in widths:
            if progress:
                progress(done, total)
            with at_widths(model, {name: pair}, calibration):
                losses.append((pair, difference(reference, logits(model, images))))
            done += 1
        layers.append((name, tuple(losses)))
    return Sensitivities(tuple(layers), unit)


@torch.no_grad()
def whole(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    calibration: Tensor,
    widths: Mapping[str, Widths],
    loss: str = "kl",
) -> Whole:
    """The loss on `images` of all layers at `widths` at once, and accuracies by `labels` (B,); nothing is trained."""
    difference, _ = _loss(loss)
    reference, before = logits(model, images), accuracy(model, images, labels)
    with at_widths(model, widths, calibration):
        return Whole(difference(reference, logits(model, images)), accuracy(model, images, labels), before)


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """The quantized layers and attention products of `model` by name, which is their product's in a graph."""
    kinds = (QuantLinear, QuantConv2d, QuantMatMul)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def own_widths(name: str, layer: nn.Module) -> Widths:
    """(a_bits, w_bits) of a layer as it is; raises HwsimError where an operand is float."""
    a, b = (getattr(layer, slot) for slot in slots(layer))
    if not isinstance(a, Quantizer) or not isinstance(b, Quantizer):
        raise HwsimError(f"{name}: both operands must be quantized, got a float one; give a checkpoint of 8 bits")
    return a.bits, b.bits


@contextmanager
def at_widths(model: nn.Module, widths: Mapping[str, Widths], calibration: Tensor) -> Iterator[nn.Module]:
    """`model` with these layers at (a_bits, w_bits), calibrated; afterwards as it was. Operands that have their width keep
    their quantizer. Raises UnknownName for a layer that there is not."""
    known = layers_of(model)
    kept: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for name, pair in widths.items():
            if name not in known:
                raise catalog.unknown("layer", name, known)
            layer, own = known[name], own_widths(name, known[name])
            for slot, bits, before in zip(slots(layer), pair, own, strict=True):
                if bits != before:
                    kept.append((layer, slot, getattr(layer, slot)))
                    setattr(layer, slot, _remade(kept[-1][2], bits))
        yield calibrate(model, calibration)
    finally:
        for layer, slot, module in kept:
            setattr(layer, slot, module)


def _plan(model: nn.Module, choices: Sequence[Widths], ends: bool) -> dict[str, tuple[Widths, ...]]:
    """The widths to measure of each layer, its own first."""
    plan = {}
    for name, layer in layers_of(model).items():
        own = own_widths(name, layer)
        attention = isinstance(layer, QuantMatMul)
        group = group_of(name, Conv2d() if isinstance(layer, QuantConv2d) else Linear())
        offered = () if group in ENDS and not ends else choices
        wider = [pair for pair in offered if pair[0] > own[0] or pair[1] > own[1]]
        if wider:
            raise HwsimError(
                f"{name}: widths must be at most the checkpoint's w{own[1]}a{own[0]}, got w{wider[0][1]}a{wider[0][0]}; "
                "start from a wider checkpoint"
            )
        plan[name] = tuple(dict.fromkeys((own, *(p for p in offered if not attention or p[0] == p[1]))))
    return plan


def _remade(old: nn.Module, bits: int) -> nn.Module:
    """An uncalibrated quantizer of the same kind as `old` at `bits`."""
    assert isinstance(old, Quantizer)
    kind = "lsq" if isinstance(old, Binary) else type(old).__module__.rpartition(".")[2]
    size = old.scale.numel()
    channels = old.offset.numel() if isinstance(old, Noisy) else 1
    made = quantizer.make(
        kind, bits, signed=old.qmin < 0, axis=old.axis, size=size, batched=old.batched, channels=channels
    )
    if isinstance(old, Noisy):
        made.set_noise(-old.offset)
    return made.to(old.scale).train(old.training)


def _loss(name: str) -> tuple[Callable[[Tensor, Tensor], float], str]:
    if name not in LOSSES:
        raise catalog.unknown("loss", name, LOSSES)
    return LOSSES[name]
