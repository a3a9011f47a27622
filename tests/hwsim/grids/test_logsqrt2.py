import numpy as np
import pytest

from hwsim.grids.logsqrt2 import logsqrt2


def test_worked_example(quantize):
    """S14: three bits with a mantissa of 7, in units of 2**-10: 181 / 2**7 is sqrt(2)."""
    grid = logsqrt2(3)
    assert grid.values().tolist() == [1024, 724, 512, 362, 256, 181, 128, 0]
    assert (grid.significand, grid.shift) == ((1, 181, 1, 181, 1, 181, 1, 0), (10, 2, 9, 1, 8, 0, 7, 0))
    assert grid.scale == (2.0**-10,)
    assert quantize(grid, [1.0, 0.7, 0.5, 0.36, 0.1, 0.0]).tolist() == [0, 1, 2, 3, 7, 7]


@pytest.mark.parametrize("mantissa_bits", [1, 4, 7, 15])
@pytest.mark.parametrize("zero", [True, False])
def test_equals_repq_vit_up_to_the_mantissa(quantize, mantissa_bits, zero):
    """RepQ-ViT: q = round(-2 log2(x / s)), x = s * 2**-ceil(q / 2) * (sqrt(2) where q is odd, else 1)."""
    scale = 0.8
    x = np.random.default_rng(0).uniform(0, 1, 4000) ** 3 * scale
    codes = np.clip(np.rint(-2 * np.log2(x / scale)), 0, 15)
    grid = logsqrt2(4, scale, zero=zero, mantissa_bits=mantissa_bits)
    np.testing.assert_array_equal(quantize(grid, x), codes)
    reals = scale * 2.0 ** -np.ceil(codes / 2) * np.where(codes % 2, np.sqrt(2), 1)
    reals[(codes == 15) & zero] = 0
    np.testing.assert_allclose(grid.to_real(quantize(grid, x)), reals, rtol=2.0 ** -(mantissa_bits + 1))


def test_two_codes_are_an_octave():
    values = logsqrt2(5, zero=False).values()
    np.testing.assert_array_equal(values[:-2], 2 * values[2:])


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("bits", [4, 6, 8])
def test_it_ends_after_so_many_octaves(quantize, bits, zero):
    grid = logsqrt2(bits, zero=zero, octaves=5)
    values = grid.to_real(np.arange(2**bits))
    np.testing.assert_allclose(values[:11], 2.0 ** (-np.arange(11) / 2), rtol=2e-3)
    assert set(values[11:]) == {0.0 if zero else values[10]}
    assert set(quantize(grid, np.geomspace(1e-6, 1, 999))) == set(range(11 + zero))
