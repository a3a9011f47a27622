"""What training tells while it runs, and what it came to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each step: `step` of `steps`, in `epoch` of `epochs`; loss and accuracy are means over the epoch so far.

    The accuracy, in [0, 1], is that of the model in training on augmented images.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    accuracy: float


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
