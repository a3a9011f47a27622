"""Bin regularization against a restatement in NumPy: loops over bins, one weight at a time."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.errors import HwsimError
from qmodels import models
from qmodels.objectives.bins import Bins, spread
from qmodels.objectives.objective import Step
from qmodels.quantizer import make
from workloads.bits import Bits


def _by_hand(weight, scale, bits):
    """Mean squared distance to the codes, and the unbiased variance within each bin; `weight` is clipped to the grid."""
    qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    latent = np.clip(weight, qmin * scale, qmax * scale)
    codes = np.round(np.clip(weight / scale, qmin, qmax))
    total = np.mean((codes * scale - latent) ** 2)
    for n in range(qmin, qmax + 1):
        inside = latent[codes == n]
        if len(inside) > 1:
            total += np.var(inside, ddof=1)
    return total


def _quantized(weight, bits, axis=None, size=1):
    quantizer = make("lsq", bits, signed=True, axis=axis, size=size, batched=False)
    quantizer.initialise(weight)
    return quantizer


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_it_is_what_numpy_says(bits):
    weight = torch.randn(40, 30).double()
    quantizer = _quantized(weight, bits).double()
    expected = _by_hand(weight.numpy().ravel(), quantizer.scale.item(), bits)
    assert spread(weight, quantizer).item() == pytest.approx(expected, rel=1e-10)


def test_of_several_scales_it_is_the_mean():
    weight = torch.randn(6, 50).double() * torch.arange(1, 7)[:, None]
    for size in (6, 3):
        quantizer = _quantized(weight, 3, 0, size).double()
        rows = weight.reshape(size, -1).numpy()
        expected = np.mean([_by_hand(row, s, 3) for row, s in zip(rows, quantizer.scale.tolist(), strict=True)])
        assert spread(weight, quantizer).item() == pytest.approx(expected, rel=1e-10)


def test_of_binary_weights_the_bins_are_two():
    weight = torch.tensor([[0.5, 1.5, -1.0, -1.0, 9.0]]).double()
    quantizer = _quantized(weight, 1).double()
    quantizer.scale.data.fill_(1.0)
    inside = np.array([0.5, 1.0, 1.0])  # clipped at the scale
    assert spread(weight, quantizer).item() == pytest.approx(0.25 / 5 + np.var(inside, ddof=1))


def test_it_is_0_on_the_grid_alone_and_blind_to_the_sign_of_errors():
    quantizer = _quantized(torch.randn(100), 3)
    quantizer.scale.data.fill_(0.5)
    grid = 0.5 * torch.randint(-4, 4, (200,))
    assert spread(grid, quantizer) == 0
    error = 0.2 * torch.rand(200) * (grid < 1.4) * (grid > -1.9)  # not at the ends, where it would be clipped
    assert spread(grid + error, quantizer).item() == pytest.approx(spread(grid - error, quantizer).item(), rel=1e-3)
    assert spread(grid + error, quantizer) > 0


def test_its_gradient_is_that_of_finite_differences_and_leaves_scales_alone():
    weight = nn.Parameter(torch.randn(5, 4).double())
    quantizer = _quantized(weight, 2).double()
    assert torch.autograd.gradcheck(lambda w: spread(w, quantizer), weight)
    spread(weight, quantizer).backward()
    assert quantizer.scale.grad is None


def test_a_step_brings_weights_nearer_to_their_codes():
    weight = nn.Parameter(torch.randn(200))
    quantizer = _quantized(weight, 2)
    before = spread(weight, quantizer)
    before.backward()
    with torch.no_grad():
        weight -= 0.5 * weight.grad
    assert spread(weight, quantizer) < before


def test_layers_are_added_the_ends_too():
    model = models.quantize(models.create("digits_deit"), Bits(2, 2), "vvtq")
    layers = [m for m in model.modules() if hasattr(m, "weight_quantizer")]
    assert len(layers) == 18
    value = Bins(1.0).value(Step(model, torch.zeros(1), torch.zeros(1)))
    assert value.item() == pytest.approx(sum(spread(m.weight, m.weight_quantizer).item() for m in layers), rel=1e-5)


def test_the_weight_waits_and_then_rises_along_a_cosine():
    term = Bins(0.01)
    assert [term.weight_at(p) for p in (0, 0.1, 0.25)] == [0, 0, 0]
    assert term.weight_at(0.625) == pytest.approx(0.005)
    assert term.weight_at(1.0) == pytest.approx(0.01)
    for epoch in range(150):  # as the released code has it, by epochs
        relative = (epoch - 37.5) / 112.5
        expected = 0.0 if relative < 0 else 0.01 + 0.5 * (0 - 0.01) * (1 + math.cos(relative * math.pi))
        assert term.weight_at(epoch / 150) == pytest.approx(expected, abs=1e-12)


def test_float_weights_have_no_bins():
    with pytest.raises(HwsimError, match=r"^bins: a model must have quantized weights, got none; choose bins=0$"):
        Bins(0.01).value(Step(nn.Linear(2, 2), torch.zeros(1), torch.zeros(1)))
