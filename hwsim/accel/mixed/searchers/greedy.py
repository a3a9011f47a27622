"""Greedy: from the setting that loses least, the step that loses least per cost that it saves, until the budgets hold.

Room that is left is then given back, by steps of one group or two that lose less (`steps.improve`). Both are done twice,
with steps measured by the excess that they remove and by all that they save, and the better one is the answer. With one
budget a setting is found wherever there is one, and up to the step that would overshoot it is how the linear relaxation is
solved (multiple-choice knapsack: Dyer, Math. Programming 29, 1984; Zemel, Inf. Proc. Letters 18, 1984; both from memory).
"""

import numpy as np

from hwsim.accel.mixed.problem import Problem, Progress, Settings
from hwsim.accel.mixed.steps import improve, relieve


def greedy(problem: Problem, seed: int = 0, progress: Progress | None = None) -> Settings:
    """The setting that greedy steps lead to; no chance is in it, so that `seed` changes nothing."""
    start = np.argmin(problem.losses, axis=1)
    found = [improve(problem, relieve(problem, start, all_that_is_saved=every)) for every in (False, True)]
    return min(found, key=lambda setting: (float(problem.excess(setting)), float(problem.loss(setting))))
