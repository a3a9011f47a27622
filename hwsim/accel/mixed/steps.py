"""Steps from setting to setting: a step changes one group to any of its choices.

`relieve` takes steps until the budgets hold, `improve` steps that lose less, of one group or of two, while they hold.
"""

import numpy as np

from hwsim.accel.mixed.problem import TIE, Floats, Problem, Settings

_LEAST = 1e-12
"""Losses that differ by less are equal: sums in another order do."""


def relieve(problem: Problem, setting: Settings, *, all_that_is_saved: bool) -> Settings:
    """`setting` (G,) after the steps that bring it within the budgets, or as near as single steps do.

    While budgets are exceeded, the step of the least (loss after - loss before) / relief is taken. Relief is by how much it
    lowers the excess; or, with `all_that_is_saved`, also what it saves of those budgets beyond that. Each step lowers the
    excess, so there is an end.
    """
    setting = setting.copy()
    while (excess := float(problem.excess(setting))) > 0:
        gains, costs = steps(problem, setting)
        relief = excess - problem.over(costs)
        lower = relief > 1e-15
        if all_that_is_saved:
            exceeded = problem.cost(setting) > problem.budgets * (1 + TIE)
            relief = relief + np.where(exceeded, np.maximum(0, 1 - costs / problem.budgets), 0).sum(axis=-1)
        price = np.full(gains.shape, np.inf)
        np.divide(gains, relief, out=price, where=lower)
        group, choice = np.unravel_index(np.argmin(price), price.shape)
        if not lower[group, choice]:
            break
        setting[group] = choice
    return setting


def improve(problem: Problem, setting: Settings) -> Settings:
    """`setting` (G,) after steps of one group, and where none is left of two at once, that lose less, the best first; none
    exceeds the budgets, or exceeds them more than `setting` does."""
    setting, allowed = setting.copy(), float(problem.excess(setting))
    while True:
        gains, costs = steps(problem, setting)
        single = np.where(problem.over(costs) <= allowed, gains, np.inf)
        group, choice = np.unravel_index(np.argmin(single), single.shape)
        if single[group, choice] < -_LEAST:
            setting[group] = choice
        elif (pair := _pair(problem, gains, costs - problem.cost(setting), costs, allowed)) is not None:
            for at, to in pair:
                setting[at] = to
        else:
            return setting


def steps(problem: Problem, setting: Settings) -> tuple[Floats, Floats]:
    """What each step adds to the loss, (G, C), infinite where there is no such choice; and the costs after it, (G, C, K)."""
    groups = np.arange(len(setting))
    gains = problem.losses - problem.losses[groups, setting][:, None]
    changes = problem.costs - problem.costs[:, groups, setting][:, :, None]  # (K, G, C)
    return gains, problem.cost(setting) + np.moveaxis(changes, 0, -1)


def _pair(
    problem: Problem, gains: Floats, changes: Floats, costs: Floats, allowed: float
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The two steps (group, choice), of two groups, that together lose least, less than now; None if there are none."""
    best, found = -_LEAST, None
    for group in range(len(gains) - 1):
        both = gains[group][:, None, None] + gains[group + 1 :]  # (C, G', C)
        within = problem.over(costs[group][:, None, None] + changes[group + 1 :]) <= allowed
        both = np.where(within, both, np.inf)
        first, other, second = (int(i) for i in np.unravel_index(np.argmin(both), both.shape))
        if both[first, other, second] < best:
            best, found = both[first, other, second], ((group, first), (group + 1 + other, second))
    return found
