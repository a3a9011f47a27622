"""Widths as a problem of choice: one choice per group, the least sum of losses, sums of costs within budgets.

    minimise    sum over groups g of losses[g, x_g]
    subject to  base[k] + sum over groups g of costs[k, g, x_g] <= budgets[k]  for each budget k

Both sums are assumptions: that losses of layers add up, as HAWQ-V3 takes them (arXiv 2011.10680, where the same problem is an
integer linear program), and that costs do, which `search` checks against the machine itself. With one budget this is the
multiple-choice knapsack problem.

G groups have up to C choices; where a group has fewer, losses and costs are infinite. A setting is a row of choices (G,).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Settings = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
TIE = 1e-9
"""By how much a cost may exceed its budget, relatively: sums in another order do."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """`losses` (G, C), `costs` (K, G, C), `base` (K,), `budgets` (K,), all of them above 0."""

    losses: Floats
    costs: Floats
    base: Floats
    budgets: Floats

    @property
    def sizes(self) -> Settings:
        """How many choices each group has, (G,)."""
        return np.asarray(np.isfinite(self.losses).sum(axis=1))

    def loss(self, settings: Settings) -> Floats:
        """What settings (..., G) lose, (...)."""
        return np.asarray(self.losses[np.arange(len(self.losses)), settings].sum(axis=-1))

    def cost(self, settings: Settings) -> Floats:
        """What settings (..., G) cost, (..., K)."""
        each = np.moveaxis(self.costs, 0, -1)[np.arange(len(self.losses)), settings]  # (..., G, K)
        return np.asarray(self.base + each.sum(axis=-2))

    def excess(self, settings: Settings) -> Floats:
        """By how much settings (..., G) exceed the budgets, relative to each and added up, (...); 0 where they hold."""
        return self.over(self.cost(settings))

    def over(self, cost: Floats) -> Floats:
        """The same of costs (..., K)."""
        share = cost / self.budgets - 1
        return np.asarray(np.where(share > TIE, share, 0.0).sum(axis=-1))

    def cheapest(self, budget: int) -> Settings:
        """The setting that costs least of this budget; of equal ones, that which loses least."""
        order = np.lexsort((self.losses, self.costs[budget]), axis=-1)
        return np.asarray(order[:, 0])


Searcher = Callable[[Problem, int, Progress | None], Settings]
"""What a file of `searchers` defines: of a problem, with a seed, a setting (G,)."""
