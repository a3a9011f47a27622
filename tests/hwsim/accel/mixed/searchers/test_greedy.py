"""Greedy: within the budgets, never better than the best, and how far from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.accel.mixed.searchers.greedy import greedy


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_with_one_budget_it_holds_wherever_that_can_be(oracle, data):
    problem = data.draw(oracle.problems().filter(lambda p: len(p.budgets) == 1))
    best, found = oracle.least(problem), greedy(problem)
    assert (problem.excess(found) == 0) == (best is not None)
    if best is not None:
        assert problem.loss(found) >= best - 1e-9


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_with_several_it_is_never_better_than_the_best(oracle, data):
    problem = data.draw(oracle.problems())
    best, found = oracle.least(problem), greedy(problem)
    assert np.all(found < problem.sizes)
    if problem.excess(found) == 0:
        assert best is not None
        assert problem.loss(found) >= best - 1e-9


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("things", [1, 3])
def test_it_is_near_the_best_of_a_network_of_50_layers(things, share, oracle):
    problem = oracle.random(np.random.default_rng(0), groups=50, things=things, share=share)
    found = greedy(problem)
    assert problem.excess(found) == 0
    assert 1 - 1e-6 <= problem.loss(found) / oracle.solved(problem) <= 1.05
