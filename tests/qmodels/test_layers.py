"""The layers against plain torch on values that are on the grid already, and IRM against its equation."""

import pytest
import torch
from torch import nn

from hwsim import catalog
from hwsim.errors import IllegalModel
from qmodels.layers.irm import Irm
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizer import make
from qmodels.weight_standardization import bake

# isort: split
from timm.layers import StdConv2dSame
from timm.layers.conv2d_same import Conv2dSame


@pytest.mark.parametrize("name", catalog.names("qmodels.layers"))
def test_each_file_defines_one_module_of_its_name(name):
    assert issubclass(catalog.find("qmodels.layers", name), nn.Module)


@pytest.mark.parametrize("name", catalog.names("qmodels.methods"))
def test_each_method_carries_its_name(name):
    assert catalog.find("qmodels.methods", name).name == name


def _quantizers(size):
    weights = make("lsq", 4, signed=True, axis=0, size=size, batched=False)
    return make("lsq", 4, signed=True), weights


def test_linear_is_exact_on_the_grid_and_shares_its_parameters():
    linear = nn.Linear(6, 5)
    with torch.no_grad():
        linear.weight.copy_(torch.randint(-8, 8, (5, 6)))
    layer = QuantLinear(linear, *_quantizers(5))
    x = torch.randint(-8, 8, (2, 3, 6)).float()
    assert torch.equal(layer(x), linear(x))
    assert layer.weight is linear.weight
    assert set(linear.state_dict()) < set(layer.state_dict())


def test_conv_is_exact_on_the_grid():
    conv = nn.Conv2d(2, 5, 4, stride=4)
    with torch.no_grad():
        conv.weight.copy_(torch.randint(-8, 8, (5, 2, 4, 4)))
    x = torch.randint(-8, 8, (2, 2, 8, 8)).float()
    assert torch.equal(QuantConv2d(conv, *_quantizers(5))(x), conv(x))


@pytest.mark.parametrize(
    "settings", [{"padding": 1}, {"padding": (2, 0), "dilation": 2, "groups": 2, "stride": (1, 2)}]
)
def test_conv_with_padding_is_exact_on_the_grid(settings):
    """Padding is real zeros whatever the zero point, here 2."""
    conv = nn.Conv2d(2, 4, 3, **settings)
    weights = make("lsq", 4, signed=True, axis=0, size=4, batched=False)
    inputs = make("lsq_plus", 4, signed=False)
    with torch.no_grad():
        conv.weight.copy_(torch.randint(-8, 8, conv.weight.shape))
        inputs.zero_point.fill_(2)
    x = torch.randint(-2, 13, (2, 2, 8, 9)).float()
    assert torch.equal(QuantConv2d(conv, inputs, weights)(x), conv(x))


@pytest.mark.parametrize("kind", [Conv2dSame, StdConv2dSame])
def test_same_padding_is_that_of_timm(kind):
    conv = kind(3, 5, 4, stride=3)
    x, expected = torch.randn(2, 3, 11, 9), None
    with torch.no_grad():
        expected = conv(x)
        same = bake(conv)
        layer = QuantConv2d(conv, nn.Identity(), nn.Identity(), same)
        assert (layer.pads, expected.shape) == (True, (2, 5, 4, 3))
        torch.testing.assert_close(layer(x), expected)


def test_padding_with_something_else_is_refused():
    with pytest.raises(IllegalModel) as caught:
        QuantConv2d(nn.Conv2d(2, 5, 3, padding=1, padding_mode="reflect"), *_quantizers(5))
    assert str(caught.value) == "conv2d: padding must be zeros, got 'reflect'; pad before the convolution"


def test_matmul_quantizes_both_sides():
    product = QuantMatMul(make("lsq", 2, signed=True), make("lsq", 3, signed=False))
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5, 6)
    assert torch.equal(product(a, b), a.round().clamp(-2, 1) @ b.round().clamp(0, 7))


def test_irm_is_its_equation():
    irm = Irm(16)
    with torch.no_grad():
        irm.weight.uniform_(0.5, 2)
        irm.bias.normal_()
    x = torch.randn(2, 3, 7, 16) * 3 + 1
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    torch.testing.assert_close(irm(x), irm.weight * (x - mean) / (variance + 1e-5).sqrt() + irm.bias)


def test_irm_starts_near_what_it_replaces():
    """The fit is the least squares line per channel: no gain and no offset does better."""
    x = torch.randn(4, 3, 50, 16) * torch.linspace(0.5, 2, 16) + torch.linspace(-1, 1, 16)
    irm = Irm(16)
    before = (irm(x) - x).square().mean()
    irm.initialise(x)
    loss = (irm(x) - x).square().mean()
    assert loss < 0.6 * before
    loss.backward()
    assert irm.weight.grad.abs().max() < 1e-4
    assert irm.bias.grad.abs().max() < 1e-4
