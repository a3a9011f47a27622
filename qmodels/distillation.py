"""What a quantized student learns from its float teacher.

Logits: KL(teacher || student), mean over images (soft distillation, arXiv 1503.02531, temperature 1).

DGD, distribution guided distillation (Q-ViT, arXiv 2210.06707, eq. 10-11): per layer and head G = q q^T, divided by its
Frobenius norm, and likewise for k, from the student's rectified q and k and the teacher's q and k; the loss is the sum
over layers and heads of the Frobenius norms of the differences, mean over images. q and k (B, H, N, D) are what leaves
`q_norm` and `k_norm`, gathered with hooks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qmodels.layers.quant_attention import QuantAttention
from qmodels.layers.quant_window_attention import QuantWindowAttention


def soft_labels(student: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of logits (B, classes), a scalar."""
    return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), log_target=True, reduction="batchmean")


@contextmanager
def gather(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect q and k of every attention of `model` in execution order; clear the list between batches."""
    seen: list[Tensor] = []
    hooks = [
        norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        for attention in model.modules()
        if isinstance(attention, QuantAttention | QuantWindowAttention)
        for norm in (attention.q_norm, attention.k_norm)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def similarity(x: Tensor) -> Tensor:
    """Token similarities (B, H, N, N) of `x` (B, H, N, D), of Frobenius norm 1 per head."""
    product = x @ x.transpose(-2, -1)
    return product / product.flatten(2).norm(dim=2).clamp(min=1e-12)[..., None, None]


def distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Frobenius norm (B, H) of similarity(student) - similarity(teacher), without forming the N x N matrices.

    Both have norm 1, so its square is 2 - 2 <G_s, G_t>, and <x x^T, y y^T> = |x^T y|^2: products of D x D entries.
    """
    inner = (student.transpose(-2, -1) @ teacher).square().sum((2, 3))
    own = [(x.transpose(-2, -1) @ x).flatten(2).norm(dim=2).clamp(min=1e-12) for x in (student, teacher)]
    return (2 - 2 * inner / (own[0] * own[1])).clamp(min=1e-6).sqrt()


def dgd(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """The DGD loss of gathered q and k, a scalar."""
    return torch.stack([distance(s, t).sum(1).mean() for s, t in zip(student, teacher, strict=True)]).sum()
