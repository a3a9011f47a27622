"""The contract of the catalogue `qmodels.quantizers`: every file, without a list."""

import pytest
import torch
from torch import nn

from hwsim import catalog
from hwsim.errors import UnknownName
from qmodels.quantizer import SCALE_FLOOR, make

NAMES = catalog.names("qmodels.quantizers")


def _cases():
    for name in NAMES:
        for bits in range(1, 9):
            for signed in (False, True):
                if (name, signed) == ("lsq_plus", True) or (name == "binary" and (bits > 1 or not signed)):
                    continue
                yield name, bits, signed


CASES = list(_cases())


@pytest.mark.parametrize(("name", "bits", "signed"), CASES)
@pytest.mark.parametrize("axis", [None, 1])
def test_contract(name, bits, signed, axis):
    quantizer = make(name, bits, signed=signed, axis=axis, size=1 if axis is None else 3)
    assert not quantizer.calibrated
    x = torch.randn(4, 3, 200) + 0.3
    quantizer.initialise(x)
    assert quantizer.calibrated
    assert quantizer.bits == bits
    codes = quantizer.codes(x)
    assert not codes.is_floating_point()
    assert len(codes.unique()) <= 2**bits
    assert quantizer.qmin <= codes.min() <= codes.max() <= quantizer.qmax
    shape = (1,) if axis is None else (1, 3, 1)
    scale, zero_point = quantizer.positive_scale().view(shape), quantizer.zero_point.round().view(shape)
    assert torch.equal(quantizer(x), scale * (codes - zero_point))  # S1
    assert (quantizer(x) - x).square().mean() < x.square().mean()


@pytest.mark.parametrize(("name", "bits", "signed"), CASES)
def test_scale_stays_positive(name, bits, signed):
    quantizer = make(name, bits, signed=signed)
    with torch.no_grad():
        quantizer.scale.fill_(-0.25)
    assert quantizer.positive_scale().item() == 0.25
    with torch.no_grad():
        quantizer.scale.zero_()
    assert quantizer.positive_scale().item() == pytest.approx(SCALE_FLOOR)
    assert quantizer(torch.randn(2, 3)).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_everything_learns(name):
    quantizer = make(name, 1 if name == "binary" else 3, signed=name != "lsq_plus").train()
    x = torch.randn(8, 40, requires_grad=True)
    quantizer.initialise(x)
    quantizer(x).square().sum().backward()
    for tensor in (x, *quantizer.parameters()):
        assert tensor.grad.abs().sum() > 0


def test_gradient_factor_counts_elements_per_sample_and_scale():
    activations = make("lsq", 4, signed=False, axis=1, size=3)
    assert activations.grad_factor(torch.zeros(7, 3, 10)) == pytest.approx((10 * 15) ** -0.5)
    weights = make("lsq", 4, signed=True, axis=0, size=6, batched=False)
    assert weights.grad_factor(torch.zeros(6, 20)) == pytest.approx((20 * 7) ** -0.5)
    assert weights.eval().grad_factor(torch.zeros(6, 20)) == 1.0


def test_make_picks_identity_and_binary():
    assert isinstance(make("lsq", 32, signed=True), nn.Identity)
    assert type(make("lsq", 1, signed=True)).__name__ == "Binary"
    one = make("lsq", 1, signed=False)
    assert (type(one).__name__, one.qmin, one.qmax) == ("Lsq", 0, 1)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"quantizer: bits must be 1\.\.8, got 9; use nn\.Identity for float"):
        make("lsq", 9, signed=True)
    with pytest.raises(ValueError, match="lsq_plus: codes are unsigned, got signed=True"):
        make("lsq_plus", 4, signed=True)
    with pytest.raises(ValueError, match="size must be 1 without an axis, got 3"):
        make("lsq", 4, signed=True, size=3)
    with pytest.raises(UnknownName, match="quantizer: unknown name, got 'lsqq'; known, nearest first: lsq, "):
        make("lsqq", 4, signed=True)
