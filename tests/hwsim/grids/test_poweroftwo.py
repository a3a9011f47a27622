import numpy as np
import pytest

from hwsim.grids.poweroftwo import poweroftwo


def test_worked_example(quantize):
    """S14: three bits, sign and k, in units of a quarter; the code of -0 is never made."""
    grid = poweroftwo(3)
    assert (grid.significand, grid.shift) == ((1, 1, 1, 0, -1, -1, -1, 0), (2, 1, 0, 0, 2, 1, 0, 0))
    assert (grid.values().tolist(), grid.scale) == ([4, 2, 1, 0, -4, -2, -1, 0], (0.25,))
    assert quantize(grid, [9.0, 0.36, 0.18, 0.17, 0.0, -0.17, -0.18, -1.0]).tolist() == [0, 1, 2, 3, 3, 3, 6, 4]


def test_two_bits_are_ternary():
    assert poweroftwo(2).values().tolist() == [1, 0, -1, 0]


@pytest.mark.parametrize("bits", [3, 4, 5])
def test_log_rounds_the_exponent_as_deepshift(quantize, bits):
    w = np.random.default_rng(0).normal(0, 0.3, 5000)
    exponent = np.rint(np.log2(np.abs(w)))
    last = (1 << (bits - 1)) - 2
    wanted = np.where(exponent < -last, 0, np.sign(w) * 2.0 ** np.minimum(exponent, 0))
    grid = poweroftwo(bits)
    np.testing.assert_array_equal(grid.to_real(quantize(grid, w)), wanted)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_nearest_is_inq(quantize, bits):
    """INQ's rule: b where (a + b) / 2 <= |w| < 3b / 2, of neighbours a < b; that is the nearest value."""
    w = np.random.default_rng(0).normal(0, 0.5, 5000)
    grid = poweroftwo(bits, rounding="nearest")
    values = grid.to_real(grid.order())
    np.testing.assert_array_equal(
        grid.to_real(quantize(grid, w)), values[np.abs(w[:, np.newaxis] - values).argmin(axis=1)]
    )
