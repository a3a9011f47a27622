"""Exact: the setting that loses least, by dynamic programming (`front`).

Partial settings are dropped that cannot hold the budgets any more, or that cannot lose less than the greedy setting does:
what the rest must lose at least is bounded by the Lagrangian dual (`bound`). Of layers by the hundred, each with costs of its
own, too many may be left; then it says so.
"""

import numpy as np
import numpy.typing as npt

from hwsim.accel.mixed import front
from hwsim.accel.mixed.bound import dual
from hwsim.accel.mixed.problem import TIE, Floats, Problem, Progress, Settings
from hwsim.accel.mixed.searchers.greedy import greedy

_SLACK = 1e-9
"""What sums in another order may differ by, relative to them."""


def exact(problem: Problem, seed: int = 0, progress: Progress | None = None) -> Settings:
    """The setting of least loss within the budgets, that of greedy where there is none; no chance is in it."""
    known = greedy(problem)
    found = front.settings(problem, _Alive(problem, known))
    within = found[problem.excess(found) == 0] if len(found) else found
    return np.asarray(within[0]) if len(within) else known


class _Alive:
    """Whether partial settings can be the start of one within the budgets that loses no more than `known`, if that holds."""

    def __init__(self, problem: Problem, known: Settings) -> None:
        holds = float(problem.excess(known)) == 0
        self.most = float(problem.loss(known)) if holds else np.inf
        self.prices = dual(problem, self.most)[1] if holds else np.zeros(len(problem.budgets))
        self.problem = problem
        shares = np.where(np.isfinite(problem.costs), problem.costs, 0.0) / problem.budgets[:, None, None]
        priced = problem.losses + np.tensordot(self.prices, shares, 1)
        self.scale = float(np.abs(np.where(np.isfinite(priced), priced, 0.0)).max(axis=1).sum())
        self.rest = _behind(priced.min(axis=1)[:, None])[:, 0] + float(
            self.prices @ (problem.base / problem.budgets - 1)
        )
        self.cheapest = _behind(problem.costs.min(axis=2).T)

    def __call__(self, groups: int, losses: Floats, costs: Floats) -> npt.NDArray[np.bool_]:
        """Of partial settings of the first `groups`."""
        problem = self.problem
        fits = (problem.base + costs + self.cheapest[groups] <= problem.budgets * (1 + TIE)).all(axis=1)
        bound = losses + (costs / problem.budgets) @ self.prices + self.rest[groups]
        return np.asarray(fits & (bound <= self.most + _SLACK * self.scale))


def _behind(values: Floats) -> Floats:
    """For 0..G groups done, the sum of `values` (G, K) over the others, (G + 1, K)."""
    sums = np.cumsum(values[::-1], axis=0)[::-1]
    return np.concatenate([sums, np.zeros((1, values.shape[1]))])
