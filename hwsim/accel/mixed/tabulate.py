"""The table of a problem: what each group's choices lose and cost.

Losses are those of the sensitivity file. Costs are differences of whole settings: that of the one which loses least with one
group at another choice, less that of itself. Where layers are priced one by one and added up, the sums of the table are then
exact; where neighbours matter to each other (codes that one layer writes and the next reads, times that overlap) they are
near, and `search` looks at the machine again.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwsim.accel.layer_bits import Widths
from hwsim.accel.mixed.problem import Problem, Progress, Settings
from hwsim.accel.sensitivities import Group

Amounts = Mapping[str, float]
"""What a setting costs in all: of each thing that can have a budget, how much."""
Price = Callable[[Mapping[str, Widths]], Amounts]
"""What the widths (a_bits, w_bits) of all products cost."""


def tabulate(
    groups: Sequence[Group], price: Price, budgets: Mapping[str, float], progress: Progress | None = None
) -> Problem:
    """The problem of `groups` with costs by `price`, which is asked once per choice; only the things in `budgets` cost."""
    choices = max(len(group.choices) for group in groups)
    losses = np.full((len(groups), choices), np.inf)
    for row, group in zip(losses, groups, strict=True):
        row[: len(group.losses)] = group.losses
    start = np.argmin(losses, axis=1)
    base = _amounts(price(widths_of(groups, start)), budgets)
    costs = np.where(np.isfinite(losses), np.zeros((len(budgets), 1, 1)), np.inf)
    others = [(g, c) for g, group in enumerate(groups) for c in range(len(group.choices)) if c != start[g]]
    for done, (g, c) in enumerate(others):
        if progress:
            progress(done, len(others))
        setting = start.copy()
        setting[g] = c
        costs[:, g, c] = _amounts(price(widths_of(groups, setting)), budgets) - base
    return Problem(losses, costs, base, np.array(list(budgets.values()), dtype=float))


def widths_of(groups: Sequence[Group], setting: Settings) -> dict[str, Widths]:
    """The widths of every product in `setting` (G,)."""
    chosen = zip(groups, setting, strict=True)
    return {product: group.choices[int(choice)] for group, choice in chosen for product in group.products}


def _amounts(amounts: Amounts, budgets: Mapping[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([float(amounts[thing]) for thing in budgets])
