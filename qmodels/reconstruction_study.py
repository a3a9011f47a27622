"""How near each quantizer comes to what it would stand for in a model: relative squared errors on real values.

    error = sum((x - x_q)^2) / sum(x^2)        `qmodels.reconstruction_error`

The values are those of the float model on some images: what leaves each softmax, each GELU and each LayerNorm, what each
LayerNorm reads, and the weights of each layer; every quantizer that can stand there finds its grid on the very values that it
is judged on. Of each place the first images are taken, as many as give LIMIT values, at least one.

Records: metric `reconstruction_error`, node the module's path; tags place (a key of RIVALS), quantizer (the label of a
Rival), bits. Nothing is recorded of values that are all zero, nor of bits that a quantizer does not define.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hwsim.errors import HwsimError
from hwsim.record import Record
from qmodels import quantizer, reconstruction_error
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_layer_norm import channels_of
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizer import Quantizer
from qmodels.quantizers.uniform import Uniform
from qmodels.steps.factors import Factors

BITS = (2, 3, 4, 6, 8)
LIMIT = 1 << 18
METRIC = "reconstruction_error"
READ = ("softmax", "norm_inputs")
"""Places whose values are taken where they are read."""


class Factored(Uniform):
    """A grid with one scale times a power of two for each channel, as FQ-ViT has before LayerNorms."""

    def initialise(self, x: Tensor) -> None:
        """By the step of that name."""
        Factors().set_grid(x, self)


@dataclass(frozen=True, slots=True)
class Rival:
    """A quantizer with a granularity: one grid per tensor, per index of `axis`, or for each of `groups` of neighbours.

    name: of the catalogue of quantizers, or a class.
    """

    label: str
    name: str | type[Quantizer]
    signed: bool = False
    axis: int | None = None
    groups: int = 0

    def made(self, x: Tensor, bits: int, batched: bool) -> Quantizer | None:
        """It at `bits` for values like `x`; None where it defines no such grid."""
        size = 1 if self.axis is None else self.groups or x.shape[self.axis]
        if self.axis is not None and x.shape[self.axis] % size:
            return None
        make = partial(quantizer.make, self.name) if isinstance(self.name, str) else self.name
        try:
            return make(bits, signed=self.signed, axis=self.axis, size=size, batched=batched).eval()
        except (HwsimError, ValueError):
            return None


GROUPS = 6
"""Of channels, as in Bondarenko et al. (arXiv 2109.12948)."""
RIVALS: Mapping[str, tuple[Rival, ...]] = {
    "softmax": (
        Rival("uniform", "uniform"),
        Rival("uniform per head", "uniform", axis=1),
        Rival("log2", "log2"),
        Rival("log-int-softmax", "lis"),
        Rival("log-sqrt2", "logsqrt2"),
        Rival("SULQ", "sulq"),
        Rival("twin uniform", "twin_uniform"),
    ),
    "gelu": (
        Rival("uniform symmetric", "uniform", signed=True),
        Rival("uniform", "uniform"),
        Rival("twin uniform", "twin_sign"),
    ),
    "layernorm": (
        Rival("uniform", "uniform"),
        Rival(f"uniform, {GROUPS} groups", "uniform", axis=-1, groups=GROUPS),
        Rival("uniform per channel", "uniform", axis=-1),
    ),
    "norm_inputs": (
        Rival("uniform", "uniform"),
        Rival("power-of-two factors", Factored, axis=-1),
        Rival("uniform per channel", "uniform", axis=-1),
    ),
    "weights": (
        Rival("uniform symmetric", "uniform", signed=True),
        Rival("uniform symmetric per channel", "uniform", signed=True, axis=0),
        Rival("uniform per channel", "uniform", axis=0),
    ),
}
"""Who can stand where: activations in four places, weights."""


@torch.no_grad()
def study(
    teacher: nn.Module, images: Tensor, workload: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Record]:
    """The records of `teacher`, a float model whose products are modules, on `images` (B, C, H, W)."""
    places = _places(teacher)
    layers = {path: m for path, m in teacher.named_modules() if isinstance(m, QuantLinear | QuantConv2d)}
    total = len(places) + len(layers)
    found: dict[tuple[str, str], tuple[Record, ...]] = {}

    def seen(place: str, path: str, x: Tensor) -> None:
        if (place, path) not in found:
            few = x[: max(1, LIMIT // x[0].numel())]
            found[place, path] = tuple(errors(place, path, few, workload))
            progress(len(found), total)

    handles = [_watched(place, path, module, seen) for (place, path), module in places.items()]
    try:
        teacher.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
    for rows in found.values():
        yield from rows
    for done, (path, layer) in enumerate(layers.items(), len(places) + 1):
        yield from errors("weights", path, layer.weight, workload, batched=False)
        progress(done, total)


def errors(place: str, path: str, x: Tensor, workload: str, *, batched: bool = True) -> Iterator[Record]:
    """The error of each rival at each width on `x`, the values at `path`."""
    if not x.any():
        return
    for rival in RIVALS[place]:
        for bits in BITS:
            made = rival.made(x, bits, batched)
            if made is not None:
                error = reconstruction_error.errors(x, {rival.label: made})[rival.label]
                tags = (("place", place), ("quantizer", rival.label), ("bits", str(bits)))
                yield Record(workload, METRIC, float(f"{error:.6g}"), "", path, source="measured", tags=tags)


def _places(model: nn.Module) -> dict[tuple[str, str], nn.Module]:
    """Place and path of values -> the module that reads them (READ) or makes them."""
    found: dict[tuple[str, str], nn.Module] = {}
    for path, module in model.named_modules():
        if isinstance(module, QuantMatMul) and path.endswith("av"):
            found["softmax", path] = module
        elif isinstance(module, nn.LayerNorm):
            found["norm_inputs", path] = found["layernorm", path] = module
        elif "GELU" in type(module).__name__:
            found["gelu", path] = module
    return found


def _watched(place: str, path: str, module: nn.Module, seen: Callable[[str, str, Tensor], None]) -> RemovableHandle:
    """`seen` gets what `module` reads or makes, each time that it runs."""
    axis = channels_of(module) if isinstance(module, nn.LayerNorm) else -1  # rivals have channels on the last one
    if place in READ:
        return module.register_forward_pre_hook(lambda module, inputs: seen(place, path, inputs[0].movedim(axis, -1)))
    return module.register_forward_hook(lambda module, inputs, output: seen(place, path, output.movedim(axis, -1)))
