import math

import numpy as np
import pytest

from hwsim.grids.log2 import log2


def test_worked_example(quantize):
    """S14: two bits are 1, 1/2, 1/4 and 0, in quarters 4, 2, 1 and 0."""
    grid = log2(2)
    assert (grid.significand, grid.shift, grid.scale) == ((1, 1, 1, 0), (2, 1, 0, 0), (0.25,))
    assert grid.values().tolist() == [4, 2, 1, 0]
    assert quantize(grid, [2.0, 0.71, 0.7, 0.36, 0.35, 0.18, 0.17, 0.0, -1.0]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_rounds_the_logarithm(quantize, zero, scale):
    x = np.random.default_rng(0).uniform(0, 1, 5000) ** 6 * scale
    codes = np.clip(np.rint(-np.log2(x / scale)), 0, 15)
    grid = log2(4, scale, zero=zero)
    np.testing.assert_array_equal(quantize(grid, x), codes)
    reals = np.where((codes == 15) & zero, 0, scale * 2.0**-codes)
    np.testing.assert_allclose(grid.to_real(quantize(grid, x)), reals, rtol=1e-15)


def test_lis_rounds_the_reciprocal_as_fq_vit(quantize):
    """FQ-ViT: floor(log2(r)), one more where r is at least 1.5 * 2**floor; r is the sum over the exponential."""
    for numerator in range(1, 3000):
        ratio = 3000 / numerator
        floor = math.floor(math.log2(ratio))
        wanted = min(floor + (ratio >= 1.5 * 2**floor), 15)
        if 3 * 2**floor * numerator != 2 * 3000:  # 2/3 is no float, a tie is decided by its rounding
            assert quantize(log2(4, rounding="lis"), numerator / 3000) == wanted


def test_nearest_takes_the_leading_one_and_the_bit_behind_it(quantize):
    grid = log2(4, rounding="nearest")  # 2**-14 units
    for units in range(1, 1 << 14):
        position = units.bit_length() - 1
        up = position > 0 and units >> (position - 1) & 1
        assert quantize(grid, units * 2.0**-14) == 14 - min(position + up, 14)


def test_without_a_zero_the_last_code_takes_all_the_rest(quantize):
    assert quantize(log2(2, zero=False), [0.13, 0.0, -1.0]).tolist() == [3, 3, 3]
    assert log2(2, zero=False).values().tolist() == [8, 4, 2, 1]


@pytest.mark.parametrize(("bits", "zero"), [(5, True), (5, False), (6, True), (8, False)])
def test_a_wide_code_of_few_octaves_is_the_narrow_one(quantize, bits, zero):
    """More bits than octaves add nothing: the codes behind the last power repeat what is last, and are never made."""
    narrow, wide = log2(4, 0.3, zero=zero), log2(bits, 0.3, zero=zero, octaves=15 - zero)
    x = np.random.default_rng(0).uniform(0, 1, 2000) ** 9
    np.testing.assert_array_equal(quantize(narrow, x), quantize(wide, x))
    np.testing.assert_array_equal(wide.values()[:16], narrow.values())
    assert set(wide.values()[16:]) == {narrow.values()[-1]}
