import numpy as np
import pytest

from hwsim.grids.twinuniform import twinuniform


def test_worked_examples(quantize):
    """S14: three bits, ratio 4. By magnitude coarse 0 is never made; by sign codes are two's complement."""
    grid = twinuniform(3, m=2)
    assert (grid.values().tolist(), grid.order().tolist()) == ([0, 1, 2, 3, 0, 4, 8, 12], [0, 1, 2, 3, 5, 6, 7])
    assert quantize(grid, [0.4, 3.4, 3.6, 5.9, 6.0, 99.0]).tolist() == [0, 3, 5, 5, 6, 7]
    grid = twinuniform(3, m=2, split="sign")
    assert grid.values().tolist() == [0, 4, 8, 12, -4, -3, -2, -1]
    assert quantize(grid, [-9.0, -1.4, 1.9, 2.1, 99.0]).tolist() == [4, 7, 0, 1, 3]


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize("m", [1, 2, 3, 6])
@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("split", ["magnitude", "sign"])
def test_selection_is_within_half_a_step_of_each_range(quantize, bits, m, scale, split):
    half, coarse = 1 << (bits - 1), 1 << m
    grid = twinuniform(bits, scale, m=m, split=split)
    low, fine = (-half, 0.0) if split == "sign" else (0, min(half, coarse * (half - 1)) - 1)
    for start, stop, step in ((low, fine, 1), (max(fine, coarse), (half - 1) * coarse, coarse)):
        x = np.linspace(start, stop, 4001) * scale
        error = np.abs(grid.to_real(quantize(grid, x)) - x)
        assert error.max() <= step * scale / 2 * (1 + 1e-9)
        assert error.max() > 0.49 * step * scale


def test_plus_and_minus_five_have_codes_of_their_own(quantize):
    """PTQ4ViT's released export adds the parts of both ranges, and gives both the same byte (METHODS 3.3)."""
    grid = twinuniform(8, m=3, split="sign")
    codes = quantize(grid, [-5.0, 5.0])
    assert codes.tolist() == [251, 1]
    assert grid.to_real(codes).tolist() == [-5.0, 8.0]


def test_the_released_sum_of_parts_is_off_by_the_split(quantize):
    """0.30 with a split of 0.25 becomes 0.549 there: the high part plus the low part, clamped to the split."""
    bits, split = 8, 0.25
    fine = split / (1 << (bits - 1))
    coarse = fine * 4
    x = 0.30
    released = np.rint(np.clip(x, split, 1) / coarse) * coarse + np.rint(np.clip(x, 0, split) / fine) * fine
    assert released == pytest.approx(x + split, abs=coarse)
    grid = twinuniform(bits, fine, m=2)
    assert abs(grid.to_real(quantize(grid, np.array([x]))).item() - x) <= coarse / 2


def test_signed_codes_are_twos_complement():
    grid = twinuniform(8, m=0, split="sign")
    np.testing.assert_array_equal(grid.values(), np.arange(256).astype(np.uint8).view(np.int8))
