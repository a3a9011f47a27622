"""What the terms of a loss share: what a training step knows, and a weighted scalar made of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(slots=True)
class Step:
    """What is known after the forward pass of a step on B images.

    labels: classes (B,), or shares of classes (B, classes). heads: q and k of every attention in execution order, each
    (B, H, N, D), as `dgd.gather` collects them, empty where no term needs them. indices: of the images in the data set.
    progress: of the whole training, in [0, 1]. distilled_logits: of the second head of a distilled model while it trains,
    `logits` then being those of the first.
    """

    model: nn.Module
    logits: Tensor
    labels: Tensor
    teacher_logits: Tensor | None = None
    student_heads: Sequence[Tensor] = ()
    teacher_heads: Sequence[Tensor] = ()
    images: Tensor | None = None
    indices: Tensor | None = None
    progress: float = 0.0
    distilled_logits: Tensor | None = None


@dataclass(slots=True)
class Objective(ABC):
    """A term of the loss with its `weight`; `needs_teacher` and `needs_heads` say what its Step must hold."""

    weight: float
    name: ClassVar[str]
    needs_teacher: ClassVar[bool] = False
    needs_heads: ClassVar[bool] = False

    @abstractmethod
    def value(self, step: Step) -> Tensor:
        """The term, unweighted, a scalar."""

    def weight_at(self, progress: float) -> float:
        """The weight when `progress` of the training is done."""
        return self.weight
