"""Fisher: minus the mean of squared errors, each times the squared gradient of the loss (PTQ4ViT, arXiv 2111.12293, eq. 9).

The squares stand for the diagonal of the loss' Hessian, if the loss has labels drawn from the model's prediction
(`Unit.gradients`): with the prediction itself for a target, as in the released code, its gradient is zero, and refused.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hwsim.errors import HwsimError
from qmodels.metric import Metric


@dataclass(frozen=True, slots=True)
class Fisher(Metric):
    """At most 0."""

    weighted: ClassVar[bool] = True

    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """Minus the mean over B, M and N of (gradients (got - wanted))^2."""
        assert gradients is not None
        if not gradients.any():
            raise HwsimError(
                "fisher: the loss' gradient by the outputs must not be zero everywhere, got zeros; no error here reaches "
                "the result, or the loss has its minimum: search by pearson, cosine or squared"
            )
        return -(got - wanted).mul_(gradients).square_().mean((-3, -2, -1))
