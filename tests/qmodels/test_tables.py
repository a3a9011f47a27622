"""What the searches of tables find, and what is special about each grid as a quantizer."""

import numpy as np
import pytest
import torch
from tables import CASES, TABLES, calibrated, sample, softmax

from hwsim import catalog
from hwsim.grids.twinuniform import twinuniform
from qmodels.quantizer import SCALE_FLOOR, make
from qmodels.shift_quantizer import room


@pytest.mark.parametrize("name", TABLES)
def test_constants_give_a_working_grid(name):
    for value in (0.0, 0.25, 1e-30, -0.5):
        quantizer = make(name, 4, signed=False, axis=0, size=2)
        quantizer.initialise(torch.full((2, 30), value))
        assert quantizer.calibrated
        assert (quantizer.scale >= SCALE_FLOOR).all()
        got = quantizer(torch.full((2, 30), value))
        assert got.isfinite().all()
        if value >= 0 and name != "lis":
            assert (got - value).abs().max() <= 0.05 * value + SCALE_FLOOR


@pytest.mark.parametrize("name", ["log2", "logsqrt2", "twin_uniform", "twin_sign"])
@pytest.mark.parametrize("bits", [3, 4])
def test_a_planted_grid_is_found(name, bits):
    """Values on a grid of this kind are on the grid that is found."""
    planted = make(name, bits, signed=False)
    if name.startswith("twin"):
        split = "sign" if name == "twin_sign" else "magnitude"
        planted.set_table(twinuniform(bits, 0.01, m=3, split=split))
    values = planted.spec().to_real(planted.spec().order())
    x = torch.from_numpy(values).float().repeat(50, 1)
    found = make(name, bits, signed=False)
    found.initialise(x)
    torch.testing.assert_close(found(x), x, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", TABLES)
def test_no_other_grid_of_its_kind_is_better(name):
    """The one taken against all that `tables` gives, per head: the scales apart, the table for all of them together."""
    x = sample(name).flatten(0, -3)[:3, :20].movedim(0, 1) * torch.tensor([1.0, 0.3, 0.05])[:, None]
    quantizer = make(name, 3, signed=False, axis=1, size=3)
    quantizer.initialise(x)
    least = (quantizer(x) - x).square().sum((0, 2))
    other = make(name, 3, signed=False, axis=1, size=3)
    for spec, factors in quantizer.tables(quantizer.sharing(x), room(3, x.shape[-1])):
        errors = []
        for factor in factors:
            other.set_table(spec, factor)
            errors.append((other(x) - x).square().sum((0, 2)))
        assert torch.stack(errors).amin(0).sum() >= least.sum() * (1 - 1e-5)


@pytest.mark.parametrize(("name", "bits"), [(n, b) for n, b in CASES if n != "twin_sign"])
def test_a_product_over_as_many_terms_fits_the_accumulator(name, bits):
    """In the worst case, with 577 tokens and values as wide as the codes are."""
    quantizer = make(name, bits, signed=False)
    quantizer.initialise(softmax(1, 1, 4, 577))
    spec = quantizer.spec()
    largest = max(abs(spec.values()).max(), (spec.values() + spec.zero).max())
    assert int(largest) * (2**bits - 1) * 577 < 2**31


def test_published_grids_up_to_four_bits_are_whole():
    for name in ("log2", "logsqrt2", "lis"):
        for bits in (1, 2, 3, 4):
            assert len(calibrated(name, bits).spec().order()) == 2**bits
    assert max(calibrated("sulq", 4).spec().shift) >= 13  # exponents far beyond the ten octaves of the released code


@pytest.mark.parametrize(("name", "half"), [("log2", 1), ("logsqrt2", 2)])
def test_a_log_grid_has_a_floor_at_any_width(name, half):
    """The relative error of a value between two neighbours does not depend on the bits."""
    x = 2 ** -(6 * torch.rand(50000, dtype=torch.float64))
    floors = []
    for bits in (4, 5, 6, 8):
        quantizer = make(name, bits, signed=False).double()
        quantizer.set_table(catalog.find("hwsim.grids", name)(bits, octaves=7))
        floors.append(((quantizer(x) - x) / x).square().mean().sqrt().item())
    assert max(floors) < 1.02 * min(floors)
    exponent = np.linspace(-0.5, 0.5, 10001) / half
    assert floors[0] == pytest.approx(np.sqrt(np.mean((2**exponent - 1) ** 2)), rel=0.02)


@pytest.mark.parametrize("name", ["log2", "logsqrt2"])
def test_without_a_zero_two_bits_collapse(name):
    """At the scale of 1, as published: each of many small probabilities becomes the last power, and a row adds up to many."""
    x = softmax(4, 2, 65, 65)
    rows = []
    for zero in (True, False):
        quantizer = make(name, 2, signed=False)
        quantizer.set_table(catalog.find("hwsim.grids", name)(2, zero=zero))
        rows.append(quantizer(x).sum(-1).mean().item())
    assert rows[0] < 1.3
    assert rows[1] > 5
    quantizer = make(name, 2, signed=False)
    quantizer.flag = False
    quantizer.initialise(x)
    assert 0 not in quantizer.spec().values()
    assert quantizer.scale < 0.9  # what a search does about it


def test_sulq_is_the_sources_but_for_its_departures():
    """The equations of the source in floats, with eta of the table's and an integer zero point."""
    x = softmax(2, 3, 65, 65).double()
    quantizer = make("sulq", 4, signed=False).double()
    quantizer.initialise(x)
    spec = quantizer.spec()
    eta = spec.zero * spec.scale[0]
    fits = []
    for least in (0.0, x.min().item()):
        low, high = -np.log2(x.max().item() + eta), -np.log2(least + eta)
        step = (high - low) / 15
        zero_point = round(-low / step)
        code = (-torch.log2(x + eta) / step).round().add(zero_point).clamp(0, 15)
        real = 2.0 ** -(step * (code - zero_point)).round() - eta
        fits.append((real - quantizer(x)).abs().max().item())
    assert min(fits) < 1e-9
    assert 2**-19 <= eta <= 0.5


def test_a_twin_value_is_in_one_range():
    """Selection: off by at most half a step of its range; -5 and +5 have codes of their own."""
    quantizer = make("twin_sign", 8, signed=False).double()
    quantizer.set_table(twinuniform(8, 0.05, m=2, split="sign"))
    x = torch.linspace(-6.4, 25.4, 9001, dtype=torch.float64)
    error = (quantizer(x) - x).abs()
    assert error[x < -0.05].max() <= 0.025 + 1e-9
    assert 0.099 < error.max() <= 0.1 + 1e-9
    assert len(quantizer.codes(torch.tensor([-5.0, 5.0])).unique()) == 2
    for name in ("twin_uniform", "twin_sign"):
        spec = calibrated(name, 4).spec()
        ratio = max(spec.shift)
        assert set(spec.shift) <= {0, ratio}
        assert ratio >= 1  # a ratio of 2^m, m searched


def test_wide_log_codes_repeat_the_last():
    """Six and eight bits hold no more octaves than the accumulator; the least zero code is made, its repetitions never."""
    quantizer = calibrated("log2", 8)
    spec = quantizer.spec()
    assert max(spec.shift) == room(8, 65) == 16
    assert set(spec.values()[17:]) == {0}
    assert quantizer.codes(torch.zeros(1)).item() == 17
