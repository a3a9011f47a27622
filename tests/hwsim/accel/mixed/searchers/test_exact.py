"""Exact: the least loss within the budgets, against every setting and against a solver of integer programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.accel.mixed import front
from hwsim.accel.mixed.problem import Problem
from hwsim.accel.mixed.searchers.exact import exact
from hwsim.errors import HwsimError


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_it_is_the_best_wherever_there_is_one(oracle, data):
    problem = data.draw(oracle.problems())
    best, found = oracle.least(problem), exact(problem)
    assert np.all(found < problem.sizes)
    assert (problem.excess(found) == 0) == (best is not None)
    if best is not None:
        assert problem.loss(found) == pytest.approx(best, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("things", [1, 3])
def test_it_is_the_best_of_a_network_of_50_layers(things, share, oracle):
    problem = oracle.random(np.random.default_rng(0), groups=50, things=things, share=share)
    found = exact(problem)
    assert problem.excess(found) == 0
    assert problem.loss(found) == pytest.approx(oracle.solved(problem), rel=1e-6)


def test_too_many_partial_settings_are_refused(oracle, monkeypatch):
    monkeypatch.setattr(front, "MOST", 20)
    problem = oracle.random(np.random.default_rng(0), groups=12, things=2, share=0.3)
    with pytest.raises(HwsimError) as caught:
        front.settings(problem)
    assert str(caught.value) == (
        "exact: at most 20 partial settings can be kept, got 64 after 3 groups; choose the method evolutionary"
    )


def test_losses_of_nothing_are_fine():
    free = Problem(np.zeros((3, 2)), np.array([[[2.0, 1.0]] * 3]), np.zeros(1), np.array([4.0]))
    assert free.excess(exact(free)) == 0
