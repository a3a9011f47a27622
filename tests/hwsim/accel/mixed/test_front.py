"""The front: all settings that none other beats, and no other, against every setting."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.accel.mixed import front
from hwsim.accel.mixed.problem import Problem


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_beats_them_and_they_beat_all_else(oracle, data):
    problem = data.draw(oracle.problems().filter(lambda p: len(p.budgets) == 1))
    everything = np.array(list(itertools.product(*(range(size) for size in problem.sizes))))
    points = {(float(problem.loss(s)), float(problem.cost(s)[0])) for s in everything}
    wanted = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    found = front.settings(problem)
    assert [(float(problem.loss(s)), float(problem.cost(s)[0])) for s in found] == sorted(wanted)


def test_equal_layers_make_few_partial_settings():
    widths = np.array([4.0, 5, 6, 7, 8])
    random = np.random.default_rng(0)
    losses = random.lognormal(size=(24, 1)) * 4.0**-widths
    costs = np.where(np.arange(24)[:, None] % 2, 0.3, 0.7)[None] * widths
    found = front.settings(Problem(losses, costs, np.ones(1), np.ones(1)))
    problem = Problem(losses, costs, np.ones(1), np.ones(1))
    spent = problem.cost(found)[:, 0]
    assert np.all(np.diff(spent) < 0)
    assert np.all(np.diff(problem.loss(found)) > 0)
    assert len(found) <= 97 * 49  # sums of two costs, 0..96 and 0..48 steps over the least
    assert spent[0] == pytest.approx(1 + 24 * 0.5 * 8)
    assert spent[-1] == pytest.approx(1 + 24 * 0.5 * 4)
