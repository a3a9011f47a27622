"""Cross entropy with the labels, mean over images, with label smoothing (arXiv 1512.00567, section 7)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from qmodels.objectives.objective import Objective, Step


@dataclass(slots=True)
class Labels(Objective):
    """`smoothing` is the share of each label that goes to all classes alike."""

    smoothing: float = 0.0
    name = "labels"

    def value(self, step: Step) -> Tensor:
        """The term, a scalar."""
        return F.cross_entropy(step.logits, step.labels, label_smoothing=self.smoothing)
