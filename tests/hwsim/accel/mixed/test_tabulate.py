"""The table of a problem: exact where costs add up."""

import itertools

import numpy as np

from hwsim.accel.mixed.tabulate import tabulate, widths_of
from hwsim.accel.sensitivities import Group

GROUPS = (
    Group("a*", ("a1", "a2"), ((8, 8), (4, 4), (2, 8)), (0.5, 0.25, 3.0)),
    Group("b", ("b",), ((8, 8),), (0.125,)),
    Group("c", ("c",), ((2, 2), (8, 8)), (1.0, 0.0)),
)


def price(widths):
    return {
        "energy": 7 + sum(scale * a * w for scale, (a, w) in zip((1, 2, 3, 4), widths.values(), strict=True)),
        "size": sum(w for _, w in widths.values()),
        "latency": -1.0,
    }


def test_it_is_exact_where_layers_add_up():
    problem = tabulate(GROUPS, price, {"size": 20.0, "energy": 300.0})
    assert problem.sizes.tolist() == [3, 1, 2]
    assert problem.budgets.tolist() == [20.0, 300.0]
    for setting in itertools.product(range(3), range(1), range(2)):
        widths = widths_of(GROUPS, np.array(setting))
        wanted = price(widths)
        np.testing.assert_allclose(problem.cost(np.array(setting)), [wanted["size"], wanted["energy"]])
        lost = sum(group.losses[choice] for group, choice in zip(GROUPS, setting, strict=True))
        np.testing.assert_allclose(problem.loss(np.array(setting)), lost)


def test_a_group_has_the_same_widths_throughout():
    assert widths_of(GROUPS, np.array([2, 0, 1])) == {"a1": (2, 8), "a2": (2, 8), "b": (8, 8), "c": (8, 8)}


def test_the_price_is_asked_once_per_choice():
    asked, seen = [], []

    def counted(widths):
        asked.append(tuple(widths.items()))
        return price(widths)

    tabulate(GROUPS, counted, {"size": 20.0}, lambda done, total: seen.append((done, total)))
    assert len(asked) == len(set(asked)) == 1 + 2 + 0 + 1
    assert seen == [(0, 3), (1, 3), (2, 3)]
