"""Batch normalization folded into the convolution before it, as integer hardware runs it.

At inference a batch norm is y = (x - mean) / sqrt(var + eps) * gain + shift with running statistics, all constants per
channel, so that with r = gain / sqrt(var + eps)

    W' = W r,   b' = (b - mean) r + shift

and the norm disappears (what BatchNormAct2d does behind it stays): of a gain and a shift per channel one bias is left.
Computed in float64, before quantizers are inserted, so that they see the weights that hardware holds, as HAWQ-V3 does
(arXiv 2011.10680). A norm that no plain convolution feeds alone stays, and one whose convolution's output or weight
something else reads; tracing makes a Mul and an Add of it.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from hwsim.errors import IllegalModel
from qmodels import torchvision_shim  # noqa: F401 - before timm

# isort: split
from timm.layers import BatchNormAct2d
from timm.layers.conv2d_same import Conv2dSame

_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)  # others make their weights of others, in which a ratio may be lost


@torch.no_grad()
def fold_batch_norms(model: nn.Module, image: tuple[int, ...]) -> tuple[str, ...]:
    """Fold, in place, every batch norm of `model` that reads a convolution and is its only reader; their names.

    image: (C, H, W) of images that the model takes, by which it is found who feeds whom; nothing is computed of them.
    """
    norms = {name: m for name, m in model.named_modules() if type(m) in _NORMS and m.running_mean is not None}
    if not norms:
        return ()
    fed = _feeders(model, norms, image)
    for name, conv in fed.items():
        _fold(conv, norms[name])
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, _rest(norms[name]).train(model.training))
    return tuple(fed)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    ratio = (norm.running_var.double() + norm.eps).rsqrt()
    shift = torch.zeros_like(ratio)
    if norm.affine:
        ratio, shift = ratio * norm.weight.double(), norm.bias.double()
    bias = 0.0 if conv.bias is None else conv.bias.double()
    dtype = conv.weight.dtype
    conv.weight.copy_((conv.weight.double() * ratio[:, None, None, None]).to(dtype))
    conv.bias = nn.Parameter(((bias - norm.running_mean.double()) * ratio + shift).to(dtype))


def _rest(norm: nn.Module) -> nn.Module:
    """What the norm did besides."""
    kept = [
        m for m in (getattr(norm, "drop", None), getattr(norm, "act", None)) if not isinstance(m, nn.Identity | None)
    ]
    return nn.Sequential(*kept) if len(kept) > 1 else kept[0] if kept else nn.Identity()


def _feeders(model: nn.Module, norms: dict[str, nn.Module], image: tuple[int, ...]) -> dict[str, nn.Conv2d]:
    """For each norm that can be folded its convolution, seen in one run on the meta device."""
    made: dict[int, nn.Conv2d] = {}
    weights: dict[nn.Module, int] = {}
    read: dict[str, list[int]] = {name: [] for name in norms}

    def after_conv(conv: nn.Module, _: Any, out: Tensor) -> None:
        made[id(out)] = conv
        weights[conv] = id(conv.weight)

    def before(name: str) -> Any:
        return lambda _, inputs: read[name].append(id(inputs[0]))

    convs = [m for m in model.modules() if type(m) in _CONVOLUTIONS]
    handles = [conv.register_forward_hook(after_conv) for conv in convs]
    handles += [norm.register_forward_pre_hook(before(name)) for name, norm in norms.items()]
    try:
        readers = _shapes_alone(model, image)
    finally:
        for handle in handles:
            handle.remove()
    fed = {name: made[ids[0]] for name, ids in read.items() if len(ids) == 1 and ids[0] in made}
    return {name: conv for name, conv in fed.items() if readers[read[name][0]] == readers[weights[conv]] == 1}


def _shapes_alone(model: nn.Module, image: tuple[int, ...]) -> Counter[int]:
    """Run `model` in eval mode without numbers; how many functions read each tensor, by its id; so does who calls it."""
    state = {name: t.to("meta") for name, t in (*model.named_parameters(), *model.named_buffers())}
    was_training = model.training
    try:
        with _Readers() as readers:
            images = torch.empty(2, *image, device="meta", dtype=_dtype(model))
            readers.add(functional_call(model.eval(), state, (images,)))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise IllegalModel(
            f"{type(model).__name__}: batch norms are folded on images {image}, got {reason}; say which it takes"
        ) from error
    finally:
        model.train(was_training)
    return readers.counts


def _dtype(model: nn.Module) -> torch.dtype:
    return next(model.parameters()).dtype


class _Readers(TorchFunctionMode):
    """Counts how many functions that give or change tensors read each tensor, and holds all of them, so that ids stay
    theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()
        self.held: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is Tensor.__setitem__ or any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            self.add((args, kwargs))
            self.held.append(result)
        return result

    def add(self, values: Any) -> None:
        """One more reader of all tensors in `values`."""
        self.counts.update(id(leaf) for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
        self.held.append(values)
