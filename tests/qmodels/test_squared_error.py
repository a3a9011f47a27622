"""The sample of a search stands for all values, the largest each for itself."""

import pytest
import torch

from qmodels.squared_error import LIMIT, best, sample


def test_few_values_are_all_there():
    rows = torch.randn(3, 50)
    seen = sample(rows)
    assert torch.equal(seen.values, rows)
    assert torch.equal(seen.weights, torch.ones(3, 50).double())
    rounded = rows.round()
    torch.testing.assert_close(seen.error(rounded), (rows - rounded).double().square().sum(1))


def test_low_and_high_hold_zero():
    seen = sample(torch.tensor([[1.0, 3.0], [-4.0, -2.0]]))
    assert seen.low.tolist() == [[0.0], [-4.0]]
    assert seen.high.tolist() == [[3.0], [0.0]]


@pytest.mark.parametrize("heavy", [False, True])
def test_many_values_are_stood_for(heavy):
    rows = torch.randn(2, 10 * LIMIT)
    rows = rows**5 if heavy else rows
    seen = sample(rows)
    assert seen.values.shape == (2, LIMIT)
    torch.testing.assert_close(seen.weights.sum(1), torch.full((2,), 10.0 * LIMIT, dtype=torch.float64))
    assert torch.equal(seen.values.amax(1), rows.amax(1))
    for scale in (0.1, 1.0):
        codes = (rows / scale).round().clamp(-8, 7) * scale
        own = (seen.values / scale).round().clamp(-8, 7) * scale
        torch.testing.assert_close(seen.error(own), (codes - rows).double().square().sum(1), rtol=0.03, atol=0)


def test_values_that_are_all_equal_count_once_each():
    seen = sample(torch.full((1, 3 * LIMIT), 2.0))
    assert seen.error(torch.ones(1, LIMIT)).item() > 0


def test_the_first_of_equals_is_best():
    rows = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    grids = [(torch.full((2, 1), s), torch.zeros(2, 1)) for s in (3.0, 1.0, 0.5)]
    scale, zero = best(sample(rows), grids, 0, 15)
    assert scale.tolist() == [1.0, 3.0]
    assert zero.tolist() == [0.0, 0.0]
