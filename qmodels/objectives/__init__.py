"""Terms of the loss, one file each; the loss of a method is the sum of weight_at(progress) * value(step) over `of`."""

from hwsim import catalog
from qmodels.method import Method
from qmodels.objectives.labels import Labels
from qmodels.objectives.objective import Objective


def of(method: Method, *, teacher: bool = True, smoothing: float = 0.0) -> tuple[Objective, ...]:
    """The terms that `method` weighs with more than 0, `labels` first; without a teacher, only those that need none.

    smoothing: of the labels, a share in [0, 1) that goes to all classes alike.
    """
    weights = {
        "soft_labels": method.distillation,
        "hard_labels": method.hard_distillation,
        "dgd": method.dgd,
        "crops": float(method.crops > 0),
        "bins": method.bins,
    }
    terms: list[Objective] = [Labels(method.labels, smoothing)] if method.labels else []
    terms += [catalog.find("qmodels.objectives", name)(weight) for name, weight in weights.items() if weight]
    return tuple(term for term in terms if teacher or not term.needs_teacher)
