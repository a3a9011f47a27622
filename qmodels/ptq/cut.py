"""Where a model is cut into units: behind its patch embedding and behind each of its blocks.

A *cut* is a module that is called once, with one tensor as its result, one part for each image, which all that follows
depends on through it: the patch embedding, and the innermost children of a Sequential or ModuleList that hold two or more
layers or products. Unit k is all that runs between cut k - 1 and cut k; the last one ends at the model's result. So norms and
samplings between blocks belong to the block that they feed, and every quantizer to one unit. A model without such modules is
one unit. Where what follows reads something else too, there is no cut (`qmodels.ptq.whole`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizer import Quantizer

SITES = (QuantLinear, QuantConv2d, QuantMatMul)
LAST = "head"
"""The name of the last unit, which ends at the model's result."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A unit: its name, the module that it ends at ("" for the last), its sites and activation quantizers as they run.

    biases: of sites that are called with a further one, which is the attention's (`QuantLinear.forward`).
    """

    name: str
    module: str
    sites: tuple[str, ...]
    quantizers: tuple[str, ...]
    biases: Mapping[str, Tensor] = field(default_factory=dict, compare=False)

    def joined(self, behind: "Cut") -> "Cut":
        """This unit and the next one as one."""
        return Cut(
            behind.name,
            behind.module,
            tuple(dict.fromkeys((*self.sites, *behind.sites))),
            tuple(dict.fromkeys((*self.quantizers, *behind.quantizers))),
            {**self.biases, **behind.biases},
        )


@torch.no_grad()
def cuts(model: nn.Module, image: tuple[int, ...]) -> tuple[Cut, ...]:
    """The units of `model`, in order of execution; `image` is (C, H, W)."""
    candidates = _candidates(model)
    order: list[tuple[str, str]] = []
    plain: dict[str, bool] = {}
    biases: dict[str, Tensor] = {}

    def told(kind: str, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: object = None) -> None:
            order.append((kind, name))
            if kind == "cut":
                plain[name] = name not in plain and isinstance(output, Tensor) and output.shape[:1] == (1,)

        return hook

    def called(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, more: Mapping[str, Tensor | None]) -> None:
            order.append(("site", name))
            if more.get("bias") is not None:
                biases[name] = more["bias"]

        return hook

    handles = []
    for name, module in model.named_modules():
        if name in candidates:
            handles.append(module.register_forward_hook(told("cut", name)))
        if isinstance(module, SITES):
            handles.append(module.register_forward_pre_hook(called(name), with_kwargs=True))
        elif isinstance(module, Quantizer) and not name.endswith("weight_quantizer"):
            handles.append(module.register_forward_pre_hook(told("quantizer", name)))
    was_training = model.training
    parameter = next(model.parameters())
    try:
        model.eval()(torch.zeros(1, *image, dtype=parameter.dtype, device=parameter.device))
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    found = _grouped(order, {name for name, alone in plain.items() if alone})
    return tuple(replace(cut, biases={path: biases[path] for path in cut.sites if path in biases}) for cut in found)


def _grouped(order: list[tuple[str, str]], ends: set[str]) -> list[Cut]:
    """The calls `order`, each (kind, name), as units that end at `ends`; ends without a site join what follows."""
    found: list[Cut] = []
    sites: list[str] = []
    quantizers: list[str] = []
    for kind, name in order:
        if kind == "site":
            sites.append(name)
        elif kind == "quantizer":
            quantizers.append(name)
        elif name in ends and sites:
            found.append(Cut(name, name, tuple(dict.fromkeys(sites)), tuple(dict.fromkeys(quantizers))))
            sites, quantizers = [], []
    return [*found, Cut(LAST, "", tuple(dict.fromkeys(sites)), tuple(dict.fromkeys(quantizers)))]


def _candidates(model: nn.Module) -> set[str]:
    """The modules that may be cuts, by their place in the model."""
    holding = set()
    for name, module in model.named_modules():
        for child, inner in module.named_children() if isinstance(module, nn.Sequential | nn.ModuleList) else ():
            if sum(isinstance(m, SITES) for m in inner.modules()) >= 2:
                holding.add(f"{name}.{child}".lstrip("."))
    innermost = {name for name in holding if not any(other.startswith(f"{name}.") for other in holding)}
    return innermost | ({"patch_embed"} & {name for name, _ in model.named_children()})
