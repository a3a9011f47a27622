"""The bound from below, against every setting and against the linear relaxation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.accel.mixed.bound import least_loss


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_setting_loses_less(oracle, data):
    problem = data.draw(oracle.problems())
    best = oracle.least(problem)
    if best is not None:
        for found in (best, 2 * best + 1):
            assert least_loss(problem, found) <= best + 1e-9


@pytest.mark.parametrize("things", [1, 3])
def test_it_is_nearly_the_linear_relaxation(things, oracle):
    optimize = pytest.importorskip("scipy.optimize")
    problem = oracle.random(np.random.default_rng(3), groups=40, things=things, share=0.4)
    groups, choices = problem.losses.shape
    answer = optimize.linprog(
        problem.losses.ravel(),
        problem.costs.reshape(things, -1), problem.budgets - problem.base,
        np.kron(np.eye(groups), np.ones(choices)), np.ones(groups),
    )  # fmt: skip
    found = least_loss(problem, oracle.solved(problem))
    assert found <= answer.fun * (1 + 1e-6)
    assert found == pytest.approx(answer.fun, rel=0.01)
