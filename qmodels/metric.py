"""A metric judges what a product gives with quantized operands by what it gives without: the base of `qmodels.metrics`.

Outputs come as (S, B, M, N): S parts of the output that are judged apart, since each hangs on a scale of its own (one part
where there is one scale), B samples, M rows (tokens; heads and tokens) of N values (channels; keys). Of C candidates they are
(C, S, B, M, N). A score is one number for each candidate and part, (C, S); greater is better.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from hwsim import catalog
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from qmodels.ptq.unit import Unit


class Metric(ABC):
    """A frozen dataclass that is called; `weighted` says that it needs the gradients of the loss."""

    __slots__ = ()
    weighted: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """The scores (C, S) of `got` (C, S, B, M, N) for `wanted` (S, B, M, N); gradients: of the shape of `wanted`."""


def find(name: str) -> Metric:
    """The metric `name`; raises UnknownName where there is none."""
    found: Metric = catalog.find("qmodels.metrics", name, "metric")()
    return found


def slopes(metric: Metric, unit: Unit, step: str) -> dict[str, Tensor]:
    """The gradients by the output of each product of `unit`, by path; {} where `metric` has no use for them.

    One whose gradients are all zero keeps its first candidate, since no error of it reaches the loss: as scores of attention
    whose values are all the same. Raises HwsimError, which names `step`, where no product of the unit has any other.
    """
    found = {site.path: unit.gradients(site.path) for site in unit.sites} if metric.weighted else {}
    if found and not any(gradients.any() for gradients in found.values()):
        raise HwsimError(
            f"{unit.name}: the loss' gradient by outputs must not be zero everywhere, got zeros; no error here reaches the "
            f"result, or the loss has its minimum: pass --set {step}.metric=squared"
        )
    return found
