"""The catalogue of searches, and what each of them finds."""

import dataclasses
import math

import pytest
import torch

from hwsim import catalog
from hwsim.errors import HwsimError
from qmodels.quantizer import SCALE_FLOOR, make
from qmodels.search import Search
from qmodels.searches.minmax import MinMax
from qmodels.searches.mse import Mse
from qmodels.searches.percentile import ACTIVATIONS, WEIGHTS, Percentile
from qmodels.searches.power_of_two import MODES, PowerOfTwo

NAMES = catalog.names("qmodels.searches")


def _error(quantizer, x):
    return (quantizer(x) - x).square().sum().item()


def _searched(search, x, *, bits=4, signed=False, **options):
    quantizer = make("uniform", bits, signed=signed, **options)
    search(x, quantizer)
    return quantizer


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    kind = catalog.find("qmodels.searches", name)
    assert issubclass(kind, Search)
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    search = kind()
    assert search == kind()
    x = torch.randn(4, 3, 90) * torch.tensor([1.0, 10.0, 0.1])[:, None]
    for signed in (True, False):
        each = _searched(search, x, signed=signed, axis=1, size=3)
        assert each.calibrated
        for c in range(3):
            alone = _searched(search, x[:, c], signed=signed)
            assert (each.scale[c], each.zero_point[c]) == (alone.scale[0], alone.zero_point[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("value", [0.0, 2.5, -2.5, 1e-20])
def test_constants_give_a_working_grid(name, signed, value):
    x = torch.full((3, 8), value)
    quantizer = _searched(catalog.find("qmodels.searches", name)(), x, signed=signed, axis=0, size=3)
    assert quantizer.scale.isfinite().all()
    assert (quantizer.scale >= SCALE_FLOOR).all()
    coarse = 0.15 if name == "power_of_two" else 0.01
    assert (quantizer(x) - x).abs().max() <= coarse * abs(value) + SCALE_FLOOR


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_refused(name):
    for kind in ("uniform", "log2"):
        with pytest.raises(HwsimError, match=r"^calibration: values must be finite, got 1 NaN and 0 infinite of 2; "):
            catalog.find("qmodels.searches", name)()(torch.tensor([1.0, torch.nan]), make(kind, 4, signed=False))


@pytest.mark.parametrize("name", NAMES)
def test_a_table_finds_its_own_grid(name):
    x = torch.rand(500)
    searched, own = (make("sulq", 3, signed=False) for _ in range(2))
    catalog.find("qmodels.searches", name)()(x, searched)
    own.initialise(x)
    assert searched.spec() == own.spec()


def test_minmax_clips_nothing_and_wastes_nothing():
    x = torch.tensor([-1.0, 0.3, 2.0])
    quantizer = _searched(MinMax(), x)
    assert (quantizer.scale.item(), quantizer.zero_point.item()) == (pytest.approx(0.2), 5)
    assert _searched(MinMax(), x, signed=True).scale.item() == pytest.approx(2 / 7)
    assert _searched(MinMax(), -x, signed=True).scale.item() == pytest.approx(0.25)
    low = _searched(MinMax(), x + 4)
    assert (low.scale.item(), low.zero_point.item()) == (pytest.approx(0.4), 0)  # zero is on the grid


@pytest.mark.parametrize(("batched", "listed"), [(True, ACTIVATIONS), (False, WEIGHTS)])
@pytest.mark.parametrize("signed", [True, False])
def test_percentile_is_the_best_of_its_list(batched, listed, signed):
    """Each candidate by torch's own quantile."""
    x = torch.randn(20000) ** 3
    found = _searched(Percentile(), x, signed=signed, batched=batched)
    errors = []
    for p in listed:
        low, high = (torch.quantile(x, q) for q in (1 - p, p))
        errors.append(_error(_searched(MinMax(), torch.stack([low, high]), signed=signed), x))
    assert _error(found, x) == pytest.approx(min(errors), rel=1e-4)
    assert max(errors) > 1.5 * min(errors)


def test_percentile_sees_single_outliers_among_many():
    x = torch.cat([torch.rand(3 * 10**5), torch.full((2,), 500.0)])
    assert _searched(Percentile(activations=(0.999, 1.0)), x, bits=8)(x).max() == pytest.approx(500, rel=0.01)


def test_mse_is_what_a_uniform_finds_by_itself():
    x = torch.randn(5000)
    for signed in (True, False):
        own = make("uniform", 3, signed=signed)
        own.initialise(x)
        found = _searched(Mse(), x, bits=3, signed=signed)
        assert (found.scale, found.zero_point) == (own.scale, own.zero_point)
        assert _error(found, x) < _error(_searched(MinMax(), x, bits=3, signed=signed), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("signed", [True, False])
def test_a_power_of_two_is_one(mode, signed):
    x = torch.randn(3, 4000) * torch.tensor([[0.3], [7.0], [900.0]])
    quantizer = _searched(PowerOfTwo(mode), x, signed=signed, axis=0, size=3)
    exponents = quantizer.scale.log2()
    assert torch.equal(exponents, exponents.round())
    whole = _searched(MinMax(), x, signed=signed, axis=0, size=3).scale.log2()
    if mode != "search":
        assert torch.equal(exponents, {"nearest": torch.round, "ceil": torch.ceil, "floor": torch.floor}[mode](whole))
        return
    for row, k in enumerate(exponents.tolist()):
        candidates = [math.floor(whole[row]) + step for step in (-1, 0, 1, 2)]
        assert k in candidates
        others = []
        for other in candidates:
            zero = None if signed else (-x[row].min() / 2.0**other).round().clamp(0, 15).reshape(1)
            grid = make("uniform", 4, signed=signed)
            grid.set_grid(torch.tensor([2.0**other]), zero)
            others.append(_error(grid, x[row]))
        assert k == candidates[others.index(min(others))]


def test_power_of_two_orders_as_known():
    """Searched is best; of uniform values, which min-max scales suit, nearest is worse than ceil, and floor than both."""
    x = (torch.rand(64, 3000).double() - 0.5) * torch.rand(64, 1).double().add(0.5)
    errors = {mode: _error(_searched(PowerOfTwo(mode), x, axis=0, size=64).double(), x) for mode in MODES}
    assert errors["search"] <= errors["ceil"] < errors["nearest"] < errors["floor"]


def test_wrong_fields():
    with pytest.raises(
        ValueError, match=r"^power_of_two: mode must be one of search, nearest, ceil, floor, got 'up'; ch"
    ):
        PowerOfTwo("up")
    with pytest.raises(
        ValueError, match=r"^percentile: weights must be numbers above 0\.5 and at most 1, got \(0\.4,\); 1"
    ):
        Percentile(weights=(0.4,))
