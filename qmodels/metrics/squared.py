"""Squared: minus the mean squared error of the outputs."""

from dataclasses import dataclass

from torch import Tensor

from qmodels.metric import Metric


@dataclass(frozen=True, slots=True)
class Squared(Metric):
    """At most 0."""

    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """Minus the mean over B, M and N."""
        return -(got - wanted).square().mean((-3, -2, -1))
