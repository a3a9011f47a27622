import numpy as np
import pytest

from hwsim.grids.sulq import sulq


def test_worked_example(quantize):
    """S14: three bits, one exponent per code, eta of one unit of 2**-7."""
    grid = sulq(3)
    assert (grid.significand, grid.shift, grid.zero) == ((1,) * 8, (7, 6, 5, 4, 3, 2, 1, 0), 1)
    assert grid.values().tolist() == [127, 63, 31, 15, 7, 3, 1, 0]
    assert quantize(grid, np.array([127, 90, 89, 2, 1, 0]) / 128).tolist() == [0, 0, 1, 5, 6, 7]


def released(x, bits, eta, levels):
    """UQ of -log2(x + eta) and back, exponents rounded; `levels` is where codes end. The source's equations in floats."""
    low, high = -np.log2(1 + eta), -np.log2(eta)
    step = (high - low) / ((1 << bits) - 1)
    zero_point = np.rint(-low / step)
    codes = np.clip(np.rint(-np.log2(x + eta) / step) + zero_point, 0, levels)
    return step, int(zero_point), codes, 2.0 ** np.rint(-step * (codes - zero_point)) - eta


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("last", [5, 9, 13, 17])
def test_equals_the_source(quantize, bits, last):
    """eta = 2**-last is a unit where the last code's exponent is `last`."""
    x = np.random.default_rng(0).uniform(0, 1, 6000) ** 8
    step, zero_point, codes, reals = released(x, bits, 2.0**-last, (1 << bits) - 1)
    grid = sulq(bits, eta=1, step=step, zero_point=zero_point)
    assert grid.scale == (2.0**-last,)
    np.testing.assert_allclose(grid.to_real(quantize(grid, x)), reals, atol=1e-12)
    assert len(np.unique(codes)) <= 1 << bits


@pytest.mark.parametrize(("eta", "distinct"), [(0.001, 11), (0.01, 8), (0.1, 4)])
def test_few_codes_are_left_where_eta_is_large(eta, distinct):
    """METHODS 2.4: with the source's eta of 0.001 and more, few of 16 codes have exponents of their own."""
    step, zero_point, _, _ = released(np.ones(1), 4, eta, 15)
    grid = sulq(4, eta=0, step=step, zero_point=zero_point)
    assert len(grid.order()) == distinct


def test_the_released_code_makes_one_code_too_many(quantize):
    """Clipped to 0..2**bits, with the step of 2**bits intervals: 17 codes at 4 bits, which no 4 bits hold; here 16."""
    x = np.concatenate([np.linspace(0, 1, 100001), np.geomspace(1e-9, 1, 10001)])
    eta = 2.0**-16
    codes = np.clip(np.rint(-np.log2(x + eta)), 0, 1 << 4)
    assert len(np.unique(codes)) == 17
    assert len(np.unique(quantize(sulq(4, eta=1), x))) == 16


def test_a_negative_value_where_eta_is_more_than_a_unit(quantize):
    grid = sulq(3, eta=3)
    assert grid.values().tolist() == [125, 61, 29, 13, 5, 1, -1, -2]
    assert quantize(grid, [-1.0]).tolist() == [7]
