"""DGD, distribution guided distillation (Q-ViT, arXiv 2210.06707, eq. 10-11).

Per layer and head G = q q^T, divided by its Frobenius norm, and likewise for k, from the student's rectified q and k and
the teacher's q and k; the loss is the sum over layers and heads of the Frobenius norms of the differences, mean over
images, and in Swin over an image's windows, each of which has a matrix of its own (the paper says nothing of windows; a
sum would weigh its first layers by their windows). q and k (B, H, N, D) are what leaves `q_norm` and `k_norm`, gathered
with hooks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from qmodels.layers.quant_attention import QuantAttention
from qmodels.layers.quant_window_attention import QuantWindowAttention
from qmodels.objectives.objective import Objective, Step


class Dgd(Objective):
    """The student's q and k learn which tokens are alike from the teacher's."""

    name = "dgd"
    needs_teacher = True
    needs_heads = True

    def value(self, step: Step) -> Tensor:
        """The term, a scalar; raises HwsimError where q and k of student and teacher do not match."""
        student, teacher = ([tuple(x.shape) for x in heads] for heads in (step.student_heads, step.teacher_heads))
        if not student or [x[:3] for x in student] != [x[:3] for x in teacher]:
            raise HwsimError(
                f"dgd: student and teacher must have equal images, heads and tokens, got {_told(student)} and "
                f"{_told(teacher)}; choose another teacher, or dgd=0"
            )
        pairs = zip(step.student_heads, step.teacher_heads, strict=True)
        return torch.stack([distance(s, t).sum(1).mean() for s, t in pairs]).sum()


def _told(shapes: Sequence[tuple[int, ...]]) -> str:
    return f"{len(shapes)} of {' '.join(map(str, sorted(set(shapes))))}" if shapes else "none"


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

    Both have norm 1, so its square is 2 - 2 <G_s, G_t>, and <x x^T, y y^T> = |x^T y|^2: products of D x D entries. In
    float32 at least, whatever autocast says: the difference of two numbers near 2 has no digits left in bf16.
    """
    with torch.autocast(student.device.type, enabled=False):
        wide = torch.promote_types(student.dtype, torch.float32)
        return _distance(student.to(wide), teacher.to(wide))


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    inner = (student.transpose(-2, -1) @ teacher).square().sum((2, 3))
    own = [(x.transpose(-2, -1) @ x).flatten(2).norm(dim=2).clamp(min=1e-12) for x in (student, teacher)]
    return (2 - 2 * inner / (own[0] * own[1])).clamp(min=1e-6).sqrt()
