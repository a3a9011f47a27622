"""A workload: a model on a dataset at given bits by a given method, and how to train it."""

from dataclasses import dataclass

from workloads.bits import Bits
from workloads.datasets import Dataset
from workloads.models import Model


@dataclass(frozen=True, slots=True)
class Recipe:
    """How `hwsim train` makes the checkpoint; `teacher` is the workload it starts and learns from ("" for none)."""

    epochs: int
    lr: float
    batch: int = 64
    seed: int = 0
    weight_decay: float = 0.0
    warmup: int = 0  # epochs
    label_smoothing: float = 0.0
    teacher: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is run; `checkpoint` names the file shipped in qmodels/checkpoints, "" where there is none."""

    name: str
    model: Model
    dataset: Dataset
    bits: Bits
    method: str
    recipe: Recipe | None = None
    checkpoint: str = ""
