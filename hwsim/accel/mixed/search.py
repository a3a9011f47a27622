"""The search itself: a searcher's setting of the table, held against the machine until the budgets really hold.

A searcher (`searchers/`) works on the table, in which costs add up. Its setting is then priced in full, the budgets of the
table are moved by what the table was off, and it searches again, until a setting comes a second time. Of the settings that
hold in full the one that loses least is the answer; the cheapest and the uniform ones are among them.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim import catalog
from hwsim.accel.layer_bits import Widths
from hwsim.accel.mixed.bound import least_loss
from hwsim.accel.mixed.problem import TIE, Floats, Problem, Progress, Searcher, Settings
from hwsim.accel.mixed.tabulate import Amounts, Price, tabulate, widths_of
from hwsim.accel.sensitivities import Group
from hwsim.errors import HwsimError

SEARCHERS = "hwsim.accel.mixed.searchers"
ROUNDS = 6
"""How often budgets of the table are moved."""
LEAST_TARGET = 1e-3
"""To which share of themselves at least: they must stay above 0."""
UNITS = {"latency": "ms", "energy": "mJ", "size": "MiB"}
"""What can have a budget, and its unit."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Widths (a_bits, w_bits) of every product, the sum of losses, and what they cost in full."""

    widths: Mapping[str, Widths]
    loss: float
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Found:
    """The setting that was found, and a loss below which none within the budgets is, as far as losses and costs add up."""

    setting: Setting
    least_loss: float


def search(
    groups: Sequence[Group],
    price: Price,
    budgets: Mapping[str, float],
    method: str = "greedy",
    seed: int = 0,
    progress: Progress | None = None,
    units: Mapping[str, str] = UNITS,
) -> Found:
    """The setting of `groups` that loses least within `budgets` (above 0), found by the searcher `method`.

    `units` are those of what `price` knows, by name. Raises UnknownName for a method that there is not, HwsimError where the
    budgets cannot be met.
    """
    searcher: Searcher = catalog.find(SEARCHERS, method, "method")
    if not budgets:
        raise HwsimError("search: a budget is needed, got none; give --latency, --energy or --size")
    for thing, budget in budgets.items():
        if not 0 < budget < math.inf:
            raise HwsimError(
                f"{thing}: a budget must be above 0, got {budget:g} {units[thing]}; leave it out for no limit"
            )
    problem = tabulate(groups, price, budgets, progress)
    machine = _Machine(groups, price, problem, tuple(budgets))
    cheap = [machine.ask(setting)[0] for setting in _cheap(problem)]
    _need_reach(budgets, cheap, units)
    targets, seen = problem.budgets, set[bytes]()
    while len(seen) < ROUNDS:
        setting = searcher(dataclasses.replace(problem, budgets=targets), seed, progress)
        if setting.tobytes() in seen:
            break
        seen.add(setting.tobytes())
        cost = machine.ask(setting)[1]
        targets = np.maximum(problem.budgets - (cost - problem.cost(setting)), LEAST_TARGET * problem.budgets)
    if not machine.holding:
        raise _apart(budgets, cheap, units)
    best = min(machine.holding, key=lambda setting: setting.loss)
    return Found(best, least_loss(problem, best.loss))


def uniform(groups: Sequence[Group], price: Price) -> dict[Widths, Setting]:
    """The settings of one choice (a_bits, w_bits) wherever there is a choice, of those that all such groups have."""
    free = [group for group in groups if len(group.choices) > 1]
    settings = {}
    for widths in dict.fromkeys(choice for group in free for choice in group.choices):
        if all(widths in group.choices for group in free):
            chosen = np.array([group.choices.index(widths) if group in free else 0 for group in groups])
            loss = sum(group.losses[choice] for group, choice in zip(groups, chosen, strict=True))
            everywhere = widths_of(groups, chosen)
            settings[widths] = Setting(everywhere, loss, price(everywhere))
    return settings


class _Machine:
    """Prices settings in full, and keeps those that hold the budgets."""

    def __init__(self, groups: Sequence[Group], price: Price, problem: Problem, things: tuple[str, ...]) -> None:
        self.groups, self.price, self.problem, self.things = groups, price, problem, things
        self.holding: list[Setting] = []

    def ask(self, setting: Settings) -> tuple[Setting, Floats]:
        """`setting` (G,) with all that it costs, and its costs (K,) of what has a budget."""
        widths = widths_of(self.groups, setting)
        amounts = self.price(widths)
        found = Setting(widths, float(self.problem.loss(setting)), amounts)
        cost = np.array([amounts[thing] for thing in self.things], dtype=float)
        if self.problem.over(cost) == 0:
            self.holding.append(found)
        return found, cost


def _cheap(problem: Problem) -> Iterator[Settings]:
    """For each budget the setting that costs least of it, and the settings of one choice throughout."""
    yield from (problem.cheapest(k) for k in range(len(problem.budgets)))
    yield from (np.minimum(c, problem.sizes - 1) for c in range(problem.losses.shape[1]))


def _need_reach(budgets: Mapping[str, float], cheap: Sequence[Setting], units: Mapping[str, str]) -> None:
    """Raise HwsimError where one of the budgets alone is below all that was seen of it."""
    for thing, least in _least(budgets, cheap).items():
        if least > budgets[thing] * (1 + TIE):
            raise HwsimError(
                f"{thing}: a budget must be within reach, got {budgets[thing]:g} {units[thing]}; the least that these widths "
                f"reach is {_rounded_up(least)} {units[thing]}"
            )


def _apart(budgets: Mapping[str, float], cheap: Sequence[Setting], units: Mapping[str, str]) -> HwsimError:
    """The error of budgets that each can be met, but no setting was found that meets them all."""
    told = " and ".join(f"{thing} {budget:g} {units[thing]}" for thing, budget in budgets.items())
    alone = " and ".join(f"{_rounded_up(least)} {units[thing]}" for thing, least in _least(budgets, cheap).items())
    return HwsimError(f"budgets: must be within reach together, got {told}; each alone can reach {alone}, so raise one")


def _least(budgets: Mapping[str, float], cheap: Sequence[Setting]) -> dict[str, float]:
    return {thing: min(setting.amounts[thing] for setting in cheap) for thing in budgets}


def _rounded_up(value: float) -> str:
    """Four digits that are not below `value`, so that a budget of them can be met."""
    step = 10.0 ** (math.floor(math.log10(value)) - 3) if value > 0 else 1.0
    return f"{math.ceil(value / step - TIE) * step:.4g}"
