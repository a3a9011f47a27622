"""Steps: they end within the budgets, and where no step of one group or two is left."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.accel.mixed.problem import Problem
from hwsim.accel.mixed.steps import improve, relieve, steps


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_step_of_one_group_or_two_is_left(oracle, data):
    problem = data.draw(oracle.problems())
    start = np.array([data.draw(st.integers(0, int(size) - 1)) for size in problem.sizes])
    found = improve(problem, start)
    assert problem.excess(found) <= problem.excess(start)
    for setting in itertools.product(*(range(size) for size in problem.sizes)):
        other = np.array(setting)
        if (other != found).sum() <= 2 and problem.excess(other) <= problem.excess(start):
            assert problem.loss(other) >= problem.loss(found) - 1e-9


@given(st.data(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_relief_ends_where_no_single_step_lowers_the_excess(oracle, data, every):
    problem = data.draw(oracle.problems())
    found = relieve(problem, np.argmin(problem.losses, axis=1), all_that_is_saved=every)
    excess = problem.excess(found)
    if excess > 0:
        for group, size in enumerate(problem.sizes):
            for choice in range(size):
                other = found.copy()
                other[group] = choice
                assert problem.excess(other) >= excess - 1e-9


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_steps_are_differences_of_settings(oracle, data):
    problem = data.draw(oracle.problems())
    setting = np.array([data.draw(st.integers(0, int(size) - 1)) for size in problem.sizes])
    gains, costs = steps(problem, setting)
    for group, size in enumerate(problem.sizes):
        assert np.isinf(gains[group, size:]).all()
        for choice in range(size):
            other = setting.copy()
            other[group] = choice
            np.testing.assert_allclose(gains[group, choice], problem.loss(other) - problem.loss(setting), atol=1e-9)
            np.testing.assert_allclose(costs[group, choice], problem.cost(other), atol=1e-9)


def test_what_a_step_saves_beyond_the_budget_may_count():
    """1 is too much: the first group saves 1 for 2, the second saves 10 for 3."""
    problem = Problem(
        np.array([[0.0, 2.0], [0.0, 3.0]]), np.array([[[2.0, 1.0], [11.0, 1.0]]]), np.zeros(1), np.array([12.0])
    )
    assert relieve(problem, np.array([0, 0]), all_that_is_saved=False).tolist() == [1, 0]
    assert relieve(problem, np.array([0, 0]), all_that_is_saved=True).tolist() == [0, 1]
