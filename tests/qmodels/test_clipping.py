import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qmodels import clipping


def _error(x, scale, zero_point, qmin, qmax):
    q = ((x / scale).round() + zero_point).clamp(qmin, qmax) - zero_point
    return (q * scale - x).square().mean()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_search_beats_the_whole_range_and_the_published_start(bits):
    x = torch.randn(20000)
    qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    found = clipping.symmetric(x, qmin, qmax, None)
    for other in (x.abs().max() / qmax, 2 * x.abs().mean() / qmax**0.5):
        assert _error(x, found, 0, qmin, qmax) <= _error(x, other, 0, qmin, qmax) * 1.02


def test_gaussian_at_two_bits_unsigned_is_near_the_known_optimum():
    """Uniform 4-level quantizer of a unit Gaussian: least distortion 0.1188 (Max 1960); an integer zero costs some."""
    x = torch.randn(8192)
    scale, zero_point = clipping.asymmetric(x, 0, 3, None)
    assert _error(x, scale, zero_point, 0, 3) < 0.2
    assert 0.7 < scale.item() < 1.3


def test_asymmetric_finds_the_offset():
    x = torch.rand(4096) * 3 - 0.2
    scale, zero_point = clipping.asymmetric(x, 0, 255, None)
    assert zero_point.item() == round(zero_point.item())
    assert _error(x, scale, zero_point, 0, 255) < 1e-4


def test_one_answer_per_index_of_the_axis():
    x = torch.randn(4, 3, 50) * torch.tensor([1.0, 10.0, 100.0])[:, None]
    scales = clipping.symmetric(x, -8, 7, 1)
    for c in range(3):
        assert scales[c] == clipping.symmetric(x[:, c], -8, 7, None)


def test_zeros_give_a_usable_scale():
    assert (clipping.symmetric(torch.zeros(3, 4), -8, 7, 0) > 0.01).all()
    scale, zero_point = clipping.asymmetric(torch.zeros(10), 0, 15, None)
    assert (scale.item(), zero_point.item()) == (1, 0)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_fixed_point_is_one_and_is_found_row_by_row(bits):
    """Restated in NumPy, one tensor at a time: codes for the scale, scale for the codes, until it stays."""
    qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    x = torch.randn(3, 500).double() * torch.tensor([1.0, 7.0, 0.02])[:, None]
    found = clipping.symmetric(x, qmin, qmax, 0, "fixed_point")
    for row, scale in zip(x.numpy(), found.tolist(), strict=True):
        alpha, before = np.abs(row).max() / qmax, -1.0
        while abs((alpha - before) / alpha) >= 1e-5:
            codes = np.round(np.clip(row / alpha, qmin, qmax))
            before, alpha = alpha, (row @ codes) / (codes @ codes)
        assert scale == pytest.approx(alpha, rel=1e-12)
    assert clipping.symmetric(torch.zeros(2, 9), qmin, qmax, 0, "fixed_point").tolist() == [1, 1]


def test_mean_start_is_the_published_one():
    x = torch.randn(2, 100)
    assert torch.allclose(clipping.symmetric(x, -8, 7, 0, "mean"), 2 * x.abs().mean(1) / 7**0.5)
    assert clipping.symmetric(torch.zeros(5), -8, 7, None, "mean").tolist() == [1]


@pytest.mark.parametrize("start", ["search", "fixed_point"])
def test_a_real_offset_reaches_what_an_integer_zero_point_cannot(start):
    x = F.gelu(torch.randn(5000).double() * 2)
    scale, offset = clipping.with_offset(x, 0, 3, None, start)
    codes = ((x - offset) / scale).round().clamp(0, 3)
    error = (codes * scale + offset - x).square().mean()
    assert error < _error(x, *clipping.asymmetric(x, 0, 3, None), 0, 3)
    assert torch.allclose((x - scale * codes).mean(), offset, atol=0.02)  # the best for these codes, or nearly
    both = clipping.with_offset(torch.stack([x, 3 * x]), 0, 3, 0, start)
    assert torch.allclose(both[0], torch.cat([scale, 3 * scale]), rtol=1e-3)


def test_offset_of_the_mean_start_is_0_and_constants_keep_a_usable_scale():
    assert clipping.with_offset(torch.rand(50), 0, 15, None, "mean")[1].tolist() == [0]
    scale, offset = clipping.with_offset(torch.full((9,), 2.5), 0, 15, None, "fixed_point")
    assert (scale.item(), offset.item()) == (pytest.approx(1 / 15), 2.5)
