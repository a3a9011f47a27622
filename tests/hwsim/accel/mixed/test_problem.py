"""The problem: losses, costs and excess of settings, against sums written out."""

import numpy as np

from hwsim.accel.mixed.problem import Problem


def test_sums_are_those_of_the_table(oracle):
    problem = oracle.random(np.random.default_rng(0), groups=5, things=2)
    settings = np.random.default_rng(1).integers(0, 4, (3, 2, 5))
    assert problem.loss(settings).shape == (3, 2)
    assert problem.cost(settings).shape == (3, 2, 2)
    one = settings[1, 0]
    np.testing.assert_allclose(problem.loss(one), sum(problem.losses[g, c] for g, c in enumerate(one)))
    np.testing.assert_allclose(problem.loss(settings)[1, 0], problem.loss(one))
    for k in range(2):
        cost = problem.base[k] + sum(problem.costs[k, g, c] for g, c in enumerate(one))
        np.testing.assert_allclose(problem.cost(settings)[1, 0, k], cost)


def test_excess_is_relative_and_added_up():
    costs = np.array([[[3.0, 1.0]], [[8.0, 0.0]]])
    problem = Problem(np.array([[0.0, 1.0]]), costs, np.array([1.0, 0.0]), np.array([2.0, 4.0]))
    assert problem.excess(np.array([0])) == 1 + 1
    assert problem.excess(np.array([1])) == 0


def test_a_sum_in_another_order_holds():
    problem = Problem(np.zeros((1, 1)), np.full((1, 1, 1), 0.1 + 0.2), np.zeros(1), np.array([0.3]))
    assert problem.excess(np.array([0])) == 0


def test_missing_choices_are_never_cheapest():
    inf = np.inf
    problem = Problem(
        np.array([[3.0, 2.0], [0.0, inf]]), np.array([[[5.0, 5.0], [9.0, inf]]]), np.zeros(1), np.array([1.0])
    )
    assert problem.sizes.tolist() == [2, 1]
    assert problem.cheapest(0).tolist() == [1, 0]
