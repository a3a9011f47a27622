"""Cross entropy with the class that the teacher finds most likely: hard distillation (DeiT, arXiv 2012.12877, eq. 3).

The term is on the logits of the model's second head, where it has one that the trainer keeps apart, else on the same
logits as the labels.
"""

import torch.nn.functional as F
from torch import Tensor

from qmodels.objectives.objective import Objective, Step


class HardLabels(Objective):
    """The student learns the teacher's decisions."""

    name = "hard_labels"
    needs_teacher = True

    def value(self, step: Step) -> Tensor:
        """The term, a scalar."""
        assert step.teacher_logits is not None
        logits = step.logits if step.distilled_logits is None else step.distilled_logits
        return F.cross_entropy(logits, step.teacher_logits.argmax(1))
