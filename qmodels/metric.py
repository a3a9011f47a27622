"""A metric judges what a product gives with quantized operands by what it gives without: the base of `qmodels.metrics`.

Outputs come as (S, B, M, N): S parts of the output that are judged apart, since each hangs on a scale of its own (one part
where there is one scale), B samples, M rows (tokens; heads and tokens) of N values (channels; keys). Of C candidates they are
(C, S, B, M, N). A score is one number for each candidate and part, (C, S); greater is better.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Metric(ABC):
    """A frozen dataclass that is called; `weighted` says that it needs the gradients of the loss."""

    __slots__ = ()
    weighted: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, got: Tensor, wanted: Tensor, gradients: Tensor | None = None) -> Tensor:
        """The scores (C, S) of `got` (C, S, B, M, N) for `wanted` (S, B, M, N); gradients: of the shape of `wanted`."""
