"""Step: what a post-training method does to one unit of a model. `qmodels/steps/` lists them, one file each.

A step is a frozen dataclass; its fields that are numbers or texts are what `--set STEP.FIELD=VALUE` changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from qmodels.ptq.unit import Unit


class Step(ABC):
    """One step of a calibration; `name` is the file's."""

    __slots__ = ()
    name: ClassVar[str]

    @abstractmethod
    def run(self, unit: Unit) -> None:
        """Do it to the quantizers, weights and biases of `unit`, in place."""
