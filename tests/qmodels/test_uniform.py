"""Fixed grids, and those with noise before them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.errors import HwsimError, IllegalModel
from qmodels import models, sensitivity
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.quantizer import SCALE_FLOOR, make
from qmodels.quantizers.noisy import Noisy
from qmodels.quantizers.uniform import Uniform
from qmodels.tracing import trace
from workloads.bits import Bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_given_grid_is_used_as_it_is(dtype):
    quantizer = Uniform(3, signed=False, axis=1, size=2).to(dtype)
    quantizer.set_grid(torch.tensor([0.5, 2.0]), torch.tensor([3.0, 0.0]))
    assert quantizer.calibrated
    x = torch.tensor([[-9.0, -9.0], [0.2, 1.0], [0.75, 3.1], [9.0, 99.0]], dtype=dtype)
    assert quantizer.codes(x).tolist() == [[0, 0], [3, 0], [5, 2], [7, 7]]  # 1.5 and 0.5 steps: to the even one
    assert quantizer(x).tolist() == [[-1.5, 0.0], [0.0, 0.0], [1.0, 4.0], [2.0, 14.0]]
    assert quantizer(x).dtype == dtype


def test_a_zero_point_is_a_code():
    """Whatever was found, the graph gets an integer within the codes."""
    quantizer = Uniform(4, signed=False, axis=0, size=3, batched=False)
    quantizer.set_grid(torch.ones(3), torch.tensor([6.4, -2.0, 40.0]))
    assert quantizer.zero_point.tolist() == [6, 0, 15]
    layer = QuantLinear(nn.Linear(5, 3), make("uniform", 4, signed=False), quantizer)
    layer.input_quantizer.initialise(torch.randn(9, 5))
    graph = trace(layer, torch.zeros(2, 5))
    assert graph.specs["weight"].quant.zero_point == (6, 0, 15)
    assert graph.specs["weight"].quant.axis == 0


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_it_finds_the_grid_of_least_error(bits, signed):
    """Against every scale of a fine sweep, each with its best zero point."""
    x = torch.randn(3000) * (1 if signed else torch.rand(3000)) + (0 if signed else 0.4)
    quantizer = Uniform(bits, signed=signed)
    quantizer.initialise(x)
    error = (quantizer(x) - x).square().sum()
    whole = x.abs().max() / quantizer.qmax if signed else (x.max() - x.min()) / quantizer.qmax
    least = torch.inf
    for fraction in np.linspace(0.02, 1.0, 99):
        for zero in (0.0,) if signed else (float(z) for z in range(0, 2**bits, max(1, 2**bits // 16))):
            other = Uniform(bits, signed=signed)
            other.set_grid(whole.reshape(1) * float(fraction), torch.tensor([zero]))
            least = min(least, (other(x) - x).square().sum())
    assert error < 1.25 * least


def test_single_outliers_among_many_are_seen():
    """One value in a million carries most of the power: a plain sample of them would clip it."""
    x = torch.cat([torch.rand(10**6) * 0.01, torch.full((1,), 1000.0)])
    quantizer = Uniform(8, signed=False)
    quantizer.initialise(x)
    assert quantizer(x)[-1] == pytest.approx(1000.0, rel=0.01)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 1e-30])
def test_constants_give_a_working_grid(value, signed):
    x = torch.full((4, 6), value)
    quantizer = Uniform(4, signed=signed, axis=0, size=4)
    quantizer.initialise(x)
    assert (quantizer.scale >= SCALE_FLOOR).all()
    assert (quantizer(x) - x).abs().max() <= 0.01 * abs(value) + SCALE_FLOOR
    if value >= 0 and not signed:
        assert not quantizer.zero_point.any()  # nothing negative was seen


def test_what_is_refused():
    quantizer = Uniform(4, signed=True)
    with pytest.raises(HwsimError) as caught:
        quantizer.initialise(torch.tensor([1.0, torch.nan, torch.inf, torch.nan]))
    assert str(caught.value) == (
        "calibration: values must be finite, got 2 NaN and 1 infinite of 4; check the images and the model's weights"
    )
    with pytest.raises(HwsimError) as caught:
        make("noisy", 1, signed=True)
    assert str(caught.value) == "noisy: signed codes need 2 bits or more, got 1; use unsigned ones, or lsq"
    with pytest.raises(ValueError, match=r"^uniform: it has \(1,\) scales, got \(2,\); reshape them$"):
        quantizer.set_grid(torch.ones(2))
    with pytest.raises(
        ValueError, match=r"^uniform: scales must be positive and finite, got 0\.0; calibrate on others$"
    ):
        quantizer.set_grid(torch.zeros(1))
    with pytest.raises(ValueError, match=r"^uniform: signed codes have a zero point of 0, got 2; use unsigned$"):
        quantizer.set_grid(torch.ones(1), torch.tensor([2.0]))
    with pytest.raises(ValueError, match=r"^noisy: its grid is one per tensor, got axis -1; use uniform$"):
        Noisy(4, axis=-1, size=3)
    with pytest.raises(ValueError, match=r"^noisy: it has noise of \(1,\), got \(3,\); reshape it$"):
        Noisy(4).set_noise(torch.ones(3))


def _noisy_layer(bits=4, signed=True):
    layer = nn.Linear(6, 5)
    inputs = make("noisy", bits, signed=signed, channels=6)
    inputs.set_noise(torch.rand(6) - 0.5)
    weights = make("uniform", 8, signed=True, axis=0, size=5, batched=False)
    weights.initialise(layer.weight)
    return layer, QuantLinear(layer, inputs, weights).double(), torch.randn(30, 6).double()


def test_noise_is_taken_off_behind_the_layer():
    """y = W_q Q(x + N) + (b - W_q N), the equation of the source."""
    _, layer, x = _noisy_layer()
    inputs, noise = layer.input_quantizer, -layer.input_quantizer.offset
    inputs.initialise(x)
    weight = layer.weight_quantizer(layer.weight)
    moved = (x + noise) / inputs.scale
    q = inputs.scale * (moved.round().clamp(-8, 7))
    assert torch.equal(inputs.codes(x), moved.round().clamp(-8, 7).int())
    torch.testing.assert_close(layer(x), F.linear(q, weight, layer.bias) - F.linear(noise, weight), rtol=0, atol=1e-12)


def test_without_rounding_noise_changes_nothing():
    """Codes so fine that rounding is nothing."""
    linear, layer, x = _noisy_layer()
    layer.weight_quantizer = nn.Identity()
    layer.input_quantizer.set_grid(torch.tensor([2.0**-26]))
    layer.input_quantizer.qmin, layer.input_quantizer.qmax = -(2**50), 2**50
    torch.testing.assert_close(layer(x), linear(x), rtol=0, atol=2.0**-26)


def test_noise_may_as_well_be_in_the_norm_before():
    """What folds N into LayerNorm's beta has the same codes."""
    _, layer, x = _noisy_layer()
    norm = nn.LayerNorm(6).double()
    layer.input_quantizer.initialise(norm(x))
    plain = Uniform(4, signed=True).double()
    plain.set_grid(layer.input_quantizer.scale)
    codes = layer.input_quantizer.codes(norm(x))
    norm.bias.data -= layer.input_quantizer.offset
    assert torch.equal(codes, plain.codes(norm(x)))


def test_a_convolution_that_pads_has_no_noise():
    made = make("noisy", 4, signed=True, pads=True)
    assert (type(made), made.qmin, made.offset) == (Uniform, -8, None)
    sizes = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}
    model = models.quantize(models.create("convnext_atto", **sizes), Bits(4, 4), "noisyquant", image=(3, 64, 64))
    found = {name: type(layer.input_quantizer) for name, layer in model.named_modules() if hasattr(layer, "pads")}
    assert found.pop("stem.0") is Noisy
    assert found["stages.0.blocks.0.conv_dw"] is Uniform
    assert type(model.head.fc.input_quantizer) is Noisy


def test_a_learned_offset_before_padding_is_refused_by_its_name():
    conv = nn.Conv2d(3, 4, 3)
    line = r"^conv2d: an input with a real offset must be per tensor and not padded, got padding 'same' and 1 offsets"
    with pytest.raises(IllegalModel, match=line):
        QuantConv2d(conv, make("lsq_offset", 4, signed=False), nn.Identity(), same=True)


def test_a_convolution_has_noise_of_one_number():
    conv = nn.Conv2d(3, 4, 2)
    weights = make("uniform", 8, signed=True, axis=0, size=4, batched=False)
    weights.initialise(conv.weight)
    inputs = make("noisy", 8, signed=True)
    inputs.set_noise(torch.tensor([0.3]))
    x = torch.rand(2, 3, 4, 4)
    inputs.initialise(x)
    layer = QuantConv2d(conv, inputs, weights)
    real = F.conv2d(inputs(x) - 0.3, weights(conv.weight), conv.bias)
    torch.testing.assert_close(layer(x), real)


def test_a_layer_at_other_widths_keeps_its_noise():
    layer = _noisy_layer()[1]
    noise = layer.input_quantizer.offset.clone()
    with sensitivity.at_widths(nn.Sequential(layer), {"0": (3, 8)}, torch.randn(9, 6).double()):
        assert layer.input_quantizer.bits == 3
        assert torch.equal(layer.input_quantizer.offset, noise)
        assert layer.input_quantizer.calibrated
