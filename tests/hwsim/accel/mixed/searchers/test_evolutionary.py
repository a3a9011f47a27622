"""Evolutionary: the best of small problems, near it in larger ones, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.accel.mixed.searchers import evolutionary as module
from hwsim.accel.mixed.searchers.evolutionary import evolutionary
from hwsim.accel.mixed.searchers.greedy import greedy


@given(st.data(), st.integers(0, 3))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_it_finds_the_best_of_small_problems(oracle, data, seed):
    problem = data.draw(oracle.problems())
    best, found = oracle.least(problem), evolutionary(problem, seed)
    assert np.all(found < problem.sizes)
    assert (problem.excess(found) == 0) == (best is not None)
    if best is not None:
        assert problem.loss(found) == pytest.approx(best)


@pytest.mark.parametrize(("things", "share"), [(1, 0.3), (2, 0.1), (3, 0.5)])
def test_it_is_nearer_to_the_best_than_greedy(things, share, oracle):
    problem = oracle.random(np.random.default_rng(1), groups=50, things=things, share=share)
    best, found = oracle.solved(problem), evolutionary(problem, 0)
    assert problem.excess(found) == 0
    assert 1 - 1e-6 <= problem.loss(found) / best <= 1.01
    assert problem.loss(found) <= problem.loss(greedy(problem))


def test_a_seed_is_an_answer(oracle, monkeypatch):
    monkeypatch.setattr(module, "GENERATIONS", 2)
    monkeypatch.setattr(module, "greedy", lambda problem: problem.cheapest(0))
    monkeypatch.setattr(module, "improve", lambda problem, setting: setting)
    problem = oracle.random(np.random.default_rng(2), groups=60, things=3, share=0.3)
    np.testing.assert_array_equal(evolutionary(problem, 5), evolutionary(problem, 5))
    assert not np.array_equal(evolutionary(problem, 5), evolutionary(problem, 6))


def test_it_reports_progress_and_stops_when_stale(oracle, monkeypatch):
    monkeypatch.setattr(module, "STALE", 4)
    seen = []
    evolutionary(oracle.random(np.random.default_rng(0), groups=2), 0, lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, module.GENERATIONS)
    assert len(seen) < 20
