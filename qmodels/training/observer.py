"""Who looks on while a model is trained: statistics that need every step, as how often weights oscillate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from hwsim.record import Record


@dataclass(frozen=True, slots=True)
class Moment:
    """Where training is after `step` updates (from 1), in `epoch` (from 1): `model` is the one in training."""

    model: nn.Module
    workload: str
    step: int
    epoch: int
    progress: float


class Observer:
    """Told of every step and epoch on the process that writes; must leave the model and all random numbers alone."""

    def on_step(self, moment: Moment) -> None:
        """After each update."""

    def on_epoch(self, moment: Moment) -> Iterable[Record]:
        """After each epoch; the records go into the log."""
        return ()

    def state(self) -> Mapping[str, Tensor]:
        """What must be kept so that it can go on after a kill."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
