"""What training tells while it runs, and what it came to."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each step: `step` of `steps`, in `epoch` of `epochs`; loss and accuracy are means over the epoch so far.

    The accuracy, in [0, 1], is that of the model in training on augmented images. `before` names what is made before the
    first step, if that is what is told of: then `step` and `steps` count its images.
    """

    step: int
    steps: int
    epoch: int = 0
    epochs: int = 0
    loss: float = math.nan
    accuracy: float = math.nan
    before: str = ""

    @property
    def note(self) -> str:
        """How it goes, in short."""
        return self.before or f"epoch {self.epoch}, loss {self.loss:.3f}, accuracy {100 * self.accuracy:.1f} %"


def silent(_progress: Progress) -> None:
    """The default callback."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What training came to: the mean loss of the last epoch, and the accuracy in [0, 1] on each split that there is.

    seconds: of work, also before a kill. written: whether this process is the one that wrote the checkpoint.
    """

    workload: str
    epochs: int
    seed: int
    seconds: float
    loss: float
    accuracies: dict[str, float]
    written: bool = True

    @property
    def validation_accuracy(self) -> float:
        """On the split `validation`."""
        return self.accuracies["validation"]

    @property
    def test_accuracy(self) -> float:
        """On the split `test`; KeyError where there is none."""
        return self.accuracies["test"]
