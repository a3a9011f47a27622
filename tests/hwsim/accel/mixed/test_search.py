"""The search: budgets hold in full, not by the table alone; what cannot be reached is said."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim import catalog
from hwsim.accel.mixed.search import SEARCHERS, search, uniform
from hwsim.accel.sensitivities import Group
from hwsim.errors import HwsimError, UnknownName

WIDTHS = (8, 4, 3, 2)
METHODS = ("evolutionary", "exact", "greedy")


def groups_of(losses):
    """One product per row of losses, at WIDTHS."""
    return tuple(
        Group(f"layer{g}", (f"layer{g}",), tuple((b, b) for b in WIDTHS), tuple(row)) for g, row in enumerate(losses)
    )


def chained(work):
    """Costs in which neighbours matter: a layer's codes are written as wide as the next one reads them, and a layer takes
    the longer of computing and moving."""

    def price(widths):
        bits = [a for a, _ in widths.values()]
        ahead = [*bits[1:], 8]
        return {
            "latency": float(sum(max(w * b * b, 3 * w * (b + n)) for w, b, n in zip(work, bits, ahead, strict=True))),
            "energy": float(sum(w * b * n for w, b, n in zip(work, bits, ahead, strict=True))),
            "size": float(sum(w * b for w, b in zip(work, bits, strict=True))),
        }

    return price


@st.composite
def cases(draw):
    layers = draw(st.integers(1, 4))
    steps = st.lists(st.integers(0, 9).map(float), min_size=3, max_size=3)
    losses = [(0.0, *np.cumsum(draw(steps))) for _ in range(layers)]
    work = draw(st.lists(st.integers(1, 5), min_size=layers, max_size=layers))
    things = draw(st.lists(st.sampled_from(("latency", "energy", "size")), min_size=1, max_size=3, unique=True))
    shares = {thing: draw(st.floats(0.02, 1.1)) for thing in things}
    return groups_of(losses), chained(work), shares


@given(cases(), st.sampled_from(METHODS))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_budgets_hold_in_full_and_nothing_better_is_claimed(case, method):
    groups, price, shares = case
    everything = []
    for bits in itertools.product(range(4), repeat=len(groups)):
        widths = {group.name: group.choices[c] for group, c in zip(groups, bits, strict=True)}
        everything.append((sum(g.losses[c] for g, c in zip(groups, bits, strict=True)), price(widths), widths))
    most = {thing: max(amounts[thing] for _, amounts, _ in everything) for thing in shares}
    budgets = {thing: share * most[thing] for thing, share in shares.items()}
    holding = [loss for loss, amounts, _ in everything if all(amounts[t] <= budgets[t] for t in budgets)]
    try:
        found = search(groups, price, budgets, method)
    except HwsimError:
        assert not holding  # narrower is never dearer here, so that what can be met is met
        return
    assert price(found.setting.widths) == found.setting.amounts
    assert all(found.setting.amounts[thing] <= budgets[thing] * (1 + 1e-8) for thing in budgets)
    assert found.setting.loss >= min(holding, default=np.inf) - 1e-9
    assert found.setting.loss in {loss for loss, _, widths in everything if widths == found.setting.widths}


def test_of_layers_that_add_up_the_best_is_found_and_proven_near():
    random = np.random.default_rng(0)
    losses = np.cumsum(np.column_stack([np.zeros(30), random.lognormal(size=(30, 3))]), axis=1)
    work = random.integers(1, 9, 30)

    def price(widths):
        return {"size": float(sum(w * b for w, (_, b) in zip(work, widths.values(), strict=True)))}

    budget = {"size": 0.55 * 8.0 * float(work.sum())}
    greedy, evolved = (search(groups_of(losses), price, budget, method) for method in ("greedy", "evolutionary"))
    assert evolved.least_loss <= evolved.setting.loss <= greedy.setting.loss
    assert evolved.setting.loss <= 1.03 * evolved.least_loss


@pytest.mark.parametrize("method", METHODS)
def test_a_table_that_is_too_cheap_is_mended(method, oracle):
    """Two narrow layers cost 2 more, which a table of single changes cannot know: the best is that of a budget 2 below."""
    random = np.random.default_rng(3)
    problem = oracle.random(random, groups=14, share=0.5)
    groups = groups_of(problem.losses - problem.losses[:, :1])

    def price(widths):
        setting = [WIDTHS.index(bits) for bits, _ in widths.values()]
        apart = 2.0 * (sum(choice > 0 for choice in setting) > 1)
        return {"latency": float(problem.cost(np.array(setting))[0]) + apart}

    budget = float(problem.budgets[0])
    shifted = dataclasses.replace(
        problem, losses=problem.losses - problem.losses[:, :1], budgets=np.array([budget - 2.0])
    )
    found = search(groups, price, {"latency": budget}, method)
    assert found.setting.amounts["latency"] <= budget
    assert 1 - 1e-6 <= found.setting.loss / oracle.solved(shifted) <= (1.001 if method == "evolutionary" else 1.05)


@pytest.mark.parametrize("method", METHODS)
def test_no_uniform_setting_within_the_budgets_is_better(method):
    random = np.random.default_rng(1)
    groups = groups_of(np.cumsum(np.column_stack([np.zeros(9), random.lognormal(size=(9, 3))]), axis=1))
    price = chained(random.integers(1, 9, 9))
    settings = uniform(groups, price)
    assert list(settings) == [(8, 8), (4, 4), (3, 3), (2, 2)]
    for setting in settings.values():
        found = search(groups, price, dict(setting.amounts), method)
        assert found.setting.loss <= setting.loss + 1e-9


def test_uniform_settings_leave_alone_what_has_no_choice():
    groups = (
        Group("end", ("end",), ((8, 8),), (0.0,)),
        Group("a", ("a",), ((8, 8), (4, 4)), (0.0, 1.0)),
        Group("b", ("b",), ((4, 4), (2, 2), (8, 8)), (2.0, 3.0, 0.5)),
    )
    settings = uniform(groups, lambda widths: {"size": float(sum(w for _, w in widths.values()))})
    assert {widths: (setting.loss, setting.amounts["size"]) for widths, setting in settings.items()} == {
        (8, 8): (0.5, 24.0),
        (4, 4): (3.0, 16.0),
    }
    assert settings[4, 4].widths == {"end": (8, 8), "a": (4, 4), "b": (4, 4)}


def fails(budgets, price=None, method="greedy"):
    with pytest.raises(HwsimError) as caught:
        search(groups_of([(0.0, 1.0, 2.0, 3.0)] * 2), price or chained([1, 2]), budgets, method)
    return str(caught.value)


def test_what_cannot_be_reached_is_said_with_the_least():
    assert fails({"size": 5.9}) == (
        "size: a budget must be within reach, got 5.9 MiB; the least that these widths reach is 6 MiB"
    )
    third = {"latency": 1 / 3}
    line = fails({"latency": 0.3}, lambda widths: third)
    assert line == "latency: a budget must be within reach, got 0.3 ms; the least that these widths reach is 0.3334 ms"


def test_budgets_that_exclude_each_other_are_said_together():
    def price(widths):
        total = float(sum(b for _, b in widths.values()))
        return {"latency": total, "size": 20 - total}

    assert fails({"latency": 6.0, "size": 5.0}, price) == (
        "budgets: must be within reach together, got latency 6 ms and size 5 MiB; each alone can reach 4 ms and 4 MiB, so "
        "raise one"
    )


@pytest.mark.parametrize(
    ("budgets", "line"),
    [
        ({}, "search: a budget is needed, got none; give --latency, --energy or --size"),
        ({"energy": 0.0}, "energy: a budget must be above 0, got 0 mJ; leave it out for no limit"),
        ({"energy": -1.0}, "energy: a budget must be above 0, got -1 mJ; leave it out for no limit"),
        ({"energy": float("nan")}, "energy: a budget must be above 0, got nan mJ; leave it out for no limit"),
        ({"energy": float("inf")}, "energy: a budget must be above 0, got inf mJ; leave it out for no limit"),
    ],
)
def test_budgets_are_numbers_above_0(budgets, line):
    assert fails(budgets) == line


def test_methods_are_a_catalogue():
    assert catalog.names(SEARCHERS) == METHODS
    with pytest.raises(UnknownName, match="method: unknown name, got 'gready'; known, nearest first: greedy"):
        search(groups_of([(0.0,) * 4]), chained([1]), {"size": 9.0}, "gready")
