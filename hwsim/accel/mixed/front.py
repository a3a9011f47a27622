"""Settings that none other beats in both loss and cost: exactly, by dynamic programming over the groups.

What is chosen for the first groups is a *partial* setting. One that costs no less than another and loses more is the start
of no best setting and is dropped (multiple-choice knapsack: Dudzinski and Walukiewicz, Eur. J. Oper. Res. 28, 1987; from
memory); with several budgets only those of equal costs are compared. Costs of layers often are multiples of a few, and then
few partial settings stay.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.accel.mixed.problem import Floats, Problem, Settings
from hwsim.errors import HwsimError

MOST = 1_000_000
"""Partial settings that are kept at most."""
_EQUAL = 1e-12
"""Costs that differ by less of their largest sum are equal: sums in another order do."""

Alive = Callable[[int, Floats, Floats], npt.NDArray[np.bool_]]
"""Of partial settings of so many groups, with their losses (S,) and costs (S, K) without the base, which may go on."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Partial settings of one more group: each has its choice (S,), and the partial setting before (S,) that it continues."""

    choices: Settings
    before: Settings


def settings(problem: Problem, alive: Alive | None = None) -> Settings:
    """The settings (F, G) that no other beats, the one that loses least first; of equal ones, one.

    `alive` drops partial settings of which the caller knows that they are not wanted. Raises HwsimError where more than MOST
    are left.
    """
    kinds = len(problem.budgets)
    losses, costs, layers = np.zeros(1), np.zeros((1, kinds)), list[_Layer]()
    finite = np.where(np.isfinite(problem.costs), np.abs(problem.costs), 0.0)
    tolerance = _EQUAL * finite.max(axis=2).sum(axis=1)
    for group, size in enumerate(problem.sizes):
        if len(losses) * size > MOST * 10:
            raise _too_many(len(losses), group)
        before, choices = (part.ravel() for part in np.indices((len(losses), size)))
        losses = losses[before] + problem.losses[group, choices]
        costs = costs[before] + problem.costs[:, group, choices].T
        kept = np.ones(len(losses), bool) if alive is None else alive(group + 1, losses, costs)
        kept = np.flatnonzero(kept)
        kept = kept[_unbeaten(losses[kept], costs[kept], tolerance)]
        if len(kept) > MOST:
            raise _too_many(len(kept), group + 1)
        losses, costs = losses[kept], costs[kept]
        layers.append(_Layer(choices[kept], before[kept]))
    return _traced(layers, np.argsort(losses, kind="stable"))


def _unbeaten(losses: Floats, costs: Floats, tolerance: Floats) -> Settings:
    """The indices of partial settings that are left, by ascending loss where there is one budget."""
    if costs.shape[1] == 1:
        order = np.lexsort((costs[:, 0], losses))
        least = np.minimum.accumulate(costs[order, 0])
        cheaper = np.concatenate([[True], least[1:] < least[:-1] - tolerance[0]])
        return np.asarray(order[cheaper[: len(order)]])
    steps = np.rint(costs / np.where(tolerance > 0, tolerance * 10, 1.0))
    order = np.lexsort((losses, *steps.T))
    first = np.ones(len(order), bool)
    first[1:] = (steps[order[1:]] != steps[order[:-1]]).any(axis=1)
    return np.asarray(order[first])


def _traced(layers: list[_Layer], last: Settings) -> Settings:
    """The settings (F, G) that end in the partial settings `last` of all groups."""
    found = np.empty((len(last), len(layers)), np.int64)
    for group in range(len(layers) - 1, -1, -1):
        found[:, group] = layers[group].choices[last]
        last = layers[group].before[last]
    return found


def _too_many(count: int, groups: int) -> HwsimError:
    return HwsimError(
        f"exact: at most {MOST} partial settings can be kept, got {count} after {groups} groups; choose the method "
        "evolutionary"
    )
