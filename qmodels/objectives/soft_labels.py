"""KL(teacher || student) of the logits, mean over images: soft distillation (arXiv 1503.02531) at temperature 1."""

import torch.nn.functional as F
from torch import Tensor

from qmodels.objectives.objective import Objective, Step


class SoftLabels(Objective):
    """The student learns the teacher's probabilities."""

    name = "soft_labels"
    needs_teacher = True

    def value(self, step: Step) -> Tensor:
        """The term, a scalar."""
        assert step.teacher_logits is not None
        return F.kl_div(
            step.logits.log_softmax(1), step.teacher_logits.log_softmax(1), log_target=True, reduction="batchmean"
        )
