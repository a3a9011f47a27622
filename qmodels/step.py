"""Step: what a post-training method does to one unit of a model. `qmodels/steps/` lists them, one file each.

A step is a frozen dataclass; its fields that are numbers or texts are what `--set STEP.FIELD=VALUE` changes. What these may
be it says in `limits`, which hold whenever one is made.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from qmodels.ptq.unit import Unit

Limit = tuple[float, float] | tuple[str, ...]
"""The least and the most that a number may be, `math.inf` for no most, or all that a text may be. Numbers are finite."""
STREAMS = ("float", "quantized")
"""What leads to a unit: `qmodels.ptq.unit.Kind`."""


class Step(ABC):
    """One step of a calibration; `name` is the file's, `limits` are those of its fields, by name."""

    __slots__ = ()
    name: ClassVar[str]
    limits: ClassVar[Mapping[str, Limit]] = {}

    def __post_init__(self) -> None:
        """Check the limits; raises HwsimError, which names step, field and value. A step with more to check calls it."""
        for key, limit in self.limits.items():
            value = getattr(self, key)
            rule = broken(value, limit)
            if rule:
                remedy = "choose one" if isinstance(value, str) else f"pass --set {self.name}.{key}=VALUE"
                shown = repr(value) if isinstance(value, str) else value
                raise HwsimError(f"{self.name}: {key} must be {rule}, got {shown}; {remedy}")

    @abstractmethod
    def run(self, unit: Unit) -> None:
        """Do it to the quantizers, weights and biases of `unit`, in place."""


def broken(value: float | str, limit: Limit) -> str:
    """What `value` must be to keep to `limit`; "" where it does."""
    if isinstance(value, str):
        return "" if value in limit else f"one of {', '.join(map(str, limit))}"
    least, most = map(float, limit)
    if not math.isfinite(value):
        return "finite"
    if least <= value <= most:
        return ""
    return f"{least:g} or more" if math.isinf(most) else f"{least:g}..{most:g}"
