"""Problems of made-up losses and costs, and what is best in them: by trying all, and by a solver of integer programs."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st

from hwsim.accel.mixed.problem import Problem


def random_problem(random, groups, things=1, share=0.5, choices=4):
    """Choices that lose more and cost less from left to right; budgets lie at `share` between least and most."""
    bits = np.array([8, 4, 3, 2, 1][:choices])
    losses = random.lognormal(0, 1.5, (groups, 1)) * 4.0 ** (2 - bits) * random.lognormal(0, 0.3, (groups, choices))
    costs = np.array([random.lognormal(0, 1, (groups, 1)) * bits.astype(float) ** (1 + k) for k in range(things)])
    base = random.random(things)
    least, most = (base + end(costs, axis=2).sum(axis=1) for end in (np.min, np.max))
    return Problem(losses, costs, base, least + share * (most - least))


@st.composite
def problems(draw):
    """Small problems, any costs and losses, some groups with fewer choices; budgets may be out of reach."""
    groups, choices, things = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(1, choices), min_size=groups, max_size=groups))
    sizes[0] = choices
    number = st.integers(0, 20).map(float)
    losses, costs = np.full((groups, choices), np.inf), np.full((things, groups, choices), np.inf)
    for g, size in enumerate(sizes):
        losses[g, :size] = draw(st.lists(number, min_size=size, max_size=size))
        for k in range(things):
            costs[k, g, :size] = draw(st.lists(number, min_size=size, max_size=size))
    base = np.array(draw(st.lists(number, min_size=things, max_size=things)))
    budgets = np.array(draw(st.lists(st.integers(1, 60).map(float), min_size=things, max_size=things)))
    return Problem(losses, costs, base, budgets)


def least(problem):
    """The least loss within the budgets, by trying every setting; None where none holds."""
    best = None
    for setting in itertools.product(*(range(size) for size in problem.sizes)):
        cost = [
            problem.base[k] + sum(problem.costs[k, g, c] for g, c in enumerate(setting))
            for k in range(len(problem.budgets))
        ]
        if all(amount <= budget * (1 + 1e-9) for amount, budget in zip(cost, problem.budgets, strict=True)):
            loss = sum(problem.losses[g, c] for g, c in enumerate(setting))
            best = loss if best is None else min(best, loss)
    return best


def solved(problem):
    """The least loss within the budgets, as an integer linear program (SciPy's HiGHS); every group has every choice."""
    optimize = pytest.importorskip("scipy.optimize")
    groups, choices = problem.losses.shape
    one_each = np.kron(np.eye(groups), np.ones(choices))
    rows = problem.costs.reshape(len(problem.budgets), -1)
    within = optimize.LinearConstraint(rows, -np.inf, problem.budgets - problem.base)
    constraints = [optimize.LinearConstraint(one_each, 1, 1), within]
    answer = optimize.milp(
        problem.losses.ravel(), constraints=constraints, integrality=1, bounds=optimize.Bounds(0, 1),
        options={"mip_rel_gap": 1e-9},
    )  # fmt: skip
    assert answer.success
    return answer.fun


@pytest.fixture(scope="session")
def oracle():
    return SimpleNamespace(least=least, solved=solved, random=random_problem, problems=problems)
