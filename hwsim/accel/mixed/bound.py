"""A bound from below: no setting within the budgets loses less.

The Lagrangian dual (Held, Wolfe and Crowder, Math. Programming 6, 1974; from memory). For any prices p >= 0 of the budgets,

    least loss >= sum over groups of min over choices (loss + p . cost / budget) + p . (base / budget - 1)

whose right side is raised step by step, along what the setting that attains it exceeds the budgets by (Polyak's steps). The
best of them is the linear relaxation. It bounds a problem in which losses and costs add up, no network.
"""

import numpy as np

from hwsim.accel.mixed.problem import Floats, Problem

STEPS = 600


def least_loss(problem: Problem, found: float) -> float:
    """The highest bound that was reached, knowing that a setting within the budgets loses `found`; at least 0."""
    return dual(problem, found)[0]


def dual(problem: Problem, found: float) -> tuple[float, Floats]:
    """The same, and the prices (K,) that give it: of all of each budget, in units of the loss."""
    groups = np.arange(len(problem.losses))
    shares = problem.costs / problem.budgets[:, None, None]
    prices, best, damping, since = np.zeros(len(problem.budgets)), 0.0, 1.0, 0
    highest = prices
    for _ in range(STEPS):
        priced = problem.losses + np.tensordot(prices, np.where(np.isfinite(shares), shares, 0.0), 1)
        setting = np.argmin(priced, axis=1)
        over = problem.cost(setting) / problem.budgets - 1
        bound = float(priced[groups, setting].sum() + prices @ (problem.base / problem.budgets - 1))
        since = 0 if bound > best else since + 1
        if bound > best:
            best, highest = bound, prices
        steepness = float(over @ over)
        if steepness == 0 or best >= found:
            break
        if since == 20:
            damping, since = damping / 2, 0
        prices = np.maximum(0.0, prices + damping * (found - bound) / steepness * over)
    return min(best, found), highest
