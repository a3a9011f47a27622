"""Multi-crop distillation (VVTQ, arXiv 2307.00331): soft cross entropy with a teacher's stored answers to these very crops.

    - sum over classes of softmax(t) log softmax(s),   mean over crops

with s the student's logits and t what the teacher said of the crop, stored beforehand (`qmodels.crops`): no teacher runs
while the student trains. `Step.teacher_logits` holds the logarithms of the stored labels, which are logits.
"""

from torch import Tensor

from hwsim.errors import HwsimError
from qmodels.objectives.objective import Objective, Step


class Crops(Objective):
    """The student learns what a teacher said of several crops of each image."""

    name = "crops"

    def value(self, step: Step) -> Tensor:
        """The term, a scalar; raises HwsimError where the step brings no answers of a teacher."""
        if step.teacher_logits is None:
            raise HwsimError(
                "crops: each crop must have the stored answer of a teacher, got none; make them with "
                "qmodels.crop_labels.make, or choose crops=0"
            )
        return -(step.teacher_logits.softmax(1) * step.logits.log_softmax(1)).sum(1).mean()
