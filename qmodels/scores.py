"""What a trained model does inside, beside its accuracy: the effects that quantization methods are built for.

All are measured in eval mode on images (B, C, H, W), for attentions whose products are modules (`qk` and `av`, as
`qmodels.models.quantize` makes them). The teacher has the same tokens and heads, or there is no distance to it.

    entropy        -sum p log2 p over the codes of q (of k), per head, then the mean over heads; at most `bits`
    map distance   KL(teacher || student) in nat of the rows of softmax(q k^T / sqrt(D)), before they are quantized: the mean
                   over images, heads and query tokens
    head distance  DGD's measure (`objectives.dgd.distance`) of q and k: the mean over images, the sum over heads
    histogram      of the values of one head of q (of k), as they leave the linear layer (`before`) and as they reach the
                   quantizer (`after`): equal where nothing rectifies them
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qmodels.evaluation import logits
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.objectives import dgd
from qmodels.quantizer import Quantizer

LEAST = 1e-12
"""Shares of attention below it count as it."""
CHUNK = 60


def entropy(codes: Tensor, axis: int = 1) -> float:
    """The entropy in bit of integer `codes` along `axis` (one distribution per index), mean over its indices."""
    found = []
    for row in codes.movedim(axis, 0).flatten(1):
        p = row.unique(return_counts=True)[1].double() / row.numel()
        found.append(-(p * p.log2()).sum())
    return torch.stack(found).mean().item()


@dataclass(frozen=True, slots=True)
class Attention:
    """What was seen in one attention: q and k (B, H, N, D) as quantized, their codes (None: float), the map (B, H, N, N).

    raw: q and k before they were rectified, where a module `q_norm` or `k_norm` does it, else as quantized.
    """

    path: str
    heads: Mapping[str, Tensor]
    raw: Mapping[str, Tensor]
    codes: Mapping[str, Tensor | None]
    grid: Mapping[str, Quantizer | None]
    map: Tensor


@torch.no_grad()
def attentions(model: nn.Module, images: Tensor) -> tuple[Attention, ...]:
    """What every attention of `model` sees of `images`, in their order; all of it is held in memory."""
    paths = [name.removesuffix(".qk") for name, m in model.named_modules() if name.endswith(".qk") and _product(m)]
    with _inputs(model, paths) as seen, _evaluated(model):
        logits(model, images, CHUNK)
    return tuple(
        _attention(model, path, {key: torch.cat(parts) for key, parts in seen[path].items()}) for path in paths
    )


def map_distance(student: Attention, teacher: Attention) -> float:
    """KL(teacher || student) of the attention maps in nat, mean over rows."""
    s, t = student.map.double().clamp(min=LEAST), teacher.map.double().clamp(min=LEAST)
    return (t * (t.log() - s.log())).sum(-1).mean().item()


def head_distance(student: Attention, teacher: Attention) -> dict[str, float]:
    """DGD's distance of q and of k, mean over images, summed over heads."""
    return {key: dgd.distance(student.heads[key], teacher.heads[key]).sum(1).mean().item() for key in ("q", "k")}


def histogram(values: Tensor, edges: Tensor) -> Tensor:
    """How many of `values` lie between the `edges` (n + 1,), shape (n,); those beyond count in the outer ones."""
    clipped = values.flatten().double().clamp(edges[0].item(), edges[-1].item())
    inner = torch.bucketize(clipped, edges.double(), right=True) - 1
    return torch.bincount(inner.clamp(max=len(edges) - 2), minlength=len(edges) - 1)


def scales(model: nn.Module) -> dict[str, tuple[int, float]]:
    """Bits and mean scale of every quantizer of `model`, by its path."""
    found = ((name, m) for name, m in model.named_modules() if isinstance(m, Quantizer))
    return {name: (m.bits, m.positive_scale().detach().double().mean().item()) for name, m in found}


def _product(module: nn.Module) -> bool:
    return isinstance(module, QuantMatMul)


def _attention(model: nn.Module, path: str, seen: dict[str, Tensor]) -> Attention:
    """`seen` holds the operands of the products and what entered the norms."""
    product = model.get_submodule(f"{path}.qk")
    heads = {"q": seen["q"], "k": seen["k"].transpose(-2, -1)}
    grid = {
        key: m if isinstance(m, Quantizer) else None
        for key, m in (("q", product.a_quantizer), ("k", product.b_quantizer))
    }
    codes = {
        key: None
        if quantizer is None
        else quantizer.codes(seen[key]).transpose(-2, -1)
        if key == "k"
        else quantizer.codes(seen[key])
        for key, quantizer in grid.items()
    }
    raw = {key: seen.get(f"raw_{key}", heads[key]) for key in heads}
    return Attention(path, heads, raw, codes, grid, seen["map"])


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def _inputs(model: nn.Module, paths: list[str]) -> Iterator[dict[str, dict[str, list[Tensor]]]]:
    """Collect, per attention, q and k as they enter the product, the map, and what enters `q_norm` and `k_norm`."""
    seen: dict[str, dict[str, list[Tensor]]] = {path: {} for path in paths}
    hooks = []

    def keep(path: str, module: nn.Module, *keys: str) -> None:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            for key, tensor in zip(keys, inputs, strict=False):
                seen[path].setdefault(key, []).append(tensor.detach())

        hooks.append(module.register_forward_pre_hook(hook))

    for path in paths:
        attention = model.get_submodule(path)
        keep(path, attention.qk, "q", "k")
        keep(path, attention.av, "map")
        for key in ("q", "k"):
            if isinstance(norm := getattr(attention, f"{key}_norm", None), nn.Module):
                keep(path, norm, f"raw_{key}")
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
