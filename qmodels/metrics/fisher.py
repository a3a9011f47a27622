"""Fisher: minus the mean of squared errors, each times the squared gradient of the loss (PTQ4ViT, arXiv 2111.12293, eq. 9).

The squares stand for the diagonal of the loss' Hessian, if the loss has labels drawn from the model's prediction
(`Unit.gradients`): with the prediction itself for a target, as in the released code, its gradient is zero. Where it is, no
error reaches the loss, and all candidates are alike; a step refuses what is so everywhere (`qmodels.metric.slopes`).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from qmodels.metric import Metric


@dataclass(frozen=True, slots=True)
class Fisher(Metric):
    """At most 0."""

    weighted: ClassVar[bool] = True

    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """Minus the mean over B, M and N of (gradients (got - wanted))^2."""
        assert gradients is not None
        return -(got - wanted).mul_(gradients).square_().mean((-3, -2, -1))
