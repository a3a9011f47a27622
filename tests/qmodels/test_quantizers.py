"""The contract of the catalogue `qmodels.quantizers`: every file, without a list."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hwsim import catalog
from hwsim.errors import IllegalModel, UnknownName
from qmodels import torchvision_shim  # noqa: F401 - before timm
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizer import SCALE_FLOOR, make
from qmodels.shift_quantizer import ShiftQuantizer

NAMES = catalog.names("qmodels.quantizers")
TABLES = {name for name in NAMES if issubclass(catalog.find("qmodels.quantizers", name), ShiftQuantizer)}
UNSIGNED = {"lsq_plus", *TABLES}


def _cases():
    for name in NAMES:
        for bits in range(1, 9):
            for signed in (False, True):
                if (name in UNSIGNED and signed) or (name == "binary" and (bits > 1 or not signed)):
                    continue
                if name in TABLES and bits < catalog.find("qmodels.quantizers", name).least:
                    continue
                if (bits, signed) == (1, True) and name not in ("binary", "lsq"):
                    continue  # `binary` is for those
                yield name, bits, signed


CASES = list(_cases())


@pytest.mark.parametrize(("name", "bits", "signed"), CASES)
@pytest.mark.parametrize("axis", [None, 1])
def test_contract(name, bits, signed, axis):
    if name == "noisy" and axis is not None:
        return  # it has one grid
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
    if name in TABLES:
        values = torch.from_numpy(quantizer.spec().values())[codes.long()]
        assert torch.equal(quantizer(x), scale * quantizer.unit.float() * values)  # S14
    else:
        assert torch.equal(quantizer(x), scale * (codes - zero_point))  # S1
    offset = 0 if quantizer.offset is None else quantizer.offset.view(shape)
    assert (quantizer(x) + offset - x).square().mean() < x.square().mean()


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
    quantizer = make(name, 1 if name == "binary" else 3, signed=name not in UNSIGNED).train()
    x = torch.randn(8, 40, requires_grad=True)
    quantizer.initialise(x)
    quantizer(x).square().sum().backward()
    for tensor in (x, *(p for p in quantizer.parameters() if p.requires_grad)):
        assert tensor.grad.abs().sum() > 0


def test_gradient_factor_counts_elements_per_sample_and_scale():
    activations = make("lsq", 4, signed=False, axis=1, size=3)
    assert activations.grad_factor(torch.zeros(7, 3, 10)) == pytest.approx((10 * 15) ** -0.5)
    weights = make("lsq", 4, signed=True, axis=0, size=6, batched=False)
    assert weights.grad_factor(torch.zeros(6, 20)) == pytest.approx((20 * 7) ** -0.5)
    assert weights.eval().grad_factor(torch.zeros(6, 20)) == 1.0


@pytest.mark.parametrize(("axis", "size"), [(None, 1), (0, 6), (0, 3)])
def test_module_factor_is_that_of_the_sum_of_magnitudes(axis, size):
    """1 / sqrt(|w|_1 qmax), over what shares a scale, against the gradient of a plain fake quantization, without factor."""
    weight, grad = torch.randn(6, 20), torch.randn(6, 20)
    quantizer = make("lsq", 3, signed=True, axis=axis, size=size, batched=False, scale_gradient="module").train()
    quantizer.initialise(weight)
    quantizer(weight).backward(grad)
    for i, (w, g) in enumerate(zip(weight.reshape(size, -1), grad.reshape(size, -1), strict=True)):
        u = w.double() / quantizer.scale[i].item()
        q = u.round().clamp(-4, 3)
        by_hand = (torch.where(u.round() == q, q - u, q) * g).sum() / math.sqrt(w.double().abs().sum() * 3)
        assert quantizer.scale.grad[i].item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_module_factor_follows_the_weights_and_is_a_constant_to_them():
    weight = torch.randn(5, 8, requires_grad=True)
    quantizer = make("lsq", 4, signed=True, batched=False, scale_gradient="module").train()
    quantizer.initialise(weight)
    before = quantizer._module_factor(weight)
    assert quantizer._module_factor(weight * 4) == pytest.approx(before.item() / 2)
    plain = make("lsq", 4, signed=True, batched=False).train()
    plain.load_state_dict(quantizer.state_dict())
    gradients = [torch.autograd.grad(q(weight).square().sum(), weight)[0] for q in (quantizer, plain)]
    assert torch.equal(*gradients)
    sample = torch.randn(1, 5, 8)
    images = make("lsq", 4, signed=True, scale_gradient="module").train()
    assert torch.allclose(images._module_factor(sample), images._module_factor(sample.repeat(7, 1, 1)))  # per sample
    assert quantizer.eval().graded(quantizer.scale, weight) is quantizer.scale


@pytest.mark.parametrize(("name", "parameter"), [("lsq", "scale"), ("lsq_plus", "zero_point"), ("pact", "scale")])
def test_module_factor_is_that_of_every_parameter_that_learns(name, parameter):
    x, grad, gradients = torch.randn(4, 30) * 3, torch.randn(4, 30), []
    for kind in ("lsq", "module"):
        quantizer = make(name, 3, signed=name != "lsq_plus", scale_gradient=kind).train()
        quantizer.initialise(x / 3)
        quantizer(x).backward(grad)
        gradients.append(getattr(quantizer, parameter).grad.item())
    assert gradients[1] / gradients[0] == pytest.approx(math.sqrt(30 / (x.abs().sum().item() / 4)), rel=1e-4)


def test_neighbours_may_share_a_scale():
    weight = torch.randn(12, 5) * torch.tensor([1.0, 10.0, 100.0]).repeat_interleave(4)[:, None]
    for bits in (1, 3):
        three = make("lsq", bits, signed=True, axis=0, size=3, batched=False)
        three.initialise(weight)
        for i, part in enumerate(weight.split(4)):
            one = make("lsq", bits, signed=True, batched=False)
            one.initialise(part)
            assert three.scale[i] == one.scale
            assert torch.equal(three(weight)[4 * i : 4 * i + 4], one(part))
            assert torch.equal(three.codes(weight)[4 * i : 4 * i + 4], one.codes(part))


def _layer(kind, offset):
    """A quantized linear layer or convolution in float64, its input on a grid with `offset`, and an input."""
    layer = nn.Linear(6, 4) if kind == "linear" else nn.Conv2d(6, 4, 2, bias=kind == "conv2d")
    inputs = make("lsq_offset", 3, signed=False)
    weights = make("lsq", 4, signed=True, axis=0, size=4, batched=False)
    weights.initialise(layer.weight)
    x = torch.rand(5, 6) if kind == "linear" else torch.rand(5, 6, 3, 3)
    inputs.initialise(x)
    nn.init.constant_(inputs.offset, offset)
    layer = (QuantLinear if kind == "linear" else QuantConv2d)(layer, inputs, weights)
    return layer.double(), x.double()


@pytest.mark.parametrize("kind", ["linear", "conv2d", "conv2d without bias"])
@pytest.mark.parametrize("training", [False, True])
def test_an_offset_goes_through_the_weights_into_the_bias(kind, training):
    layer, x = _layer(kind, 0.17)
    layer.train(training)
    real = layer.input_quantizer(x) + layer.input_quantizer.offset  # S1, with the offset
    function = F.linear if kind == "linear" else F.conv2d
    expected = function(real, layer.weight_quantizer(layer.weight), layer.bias)
    assert torch.allclose(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_an_offset_learns_what_lsq_plus_says():
    """d real / d offset = 0 inside the grid, 1 outside (arXiv 2004.09576, eq. 8), times LSQ's factor."""
    layer, x = _layer("linear", 0.3)
    layer.train()
    inputs, grad = layer.input_quantizer, torch.randn(5, 4).double()
    layer(x).backward(grad)
    steps = ((x - inputs.offset) / inputs.scale).round()
    outside = (steps < 0) | (steps > 7)
    assert 0 < outside.sum() < outside.numel()
    of_real = grad @ layer.weight_quantizer(layer.weight)
    expected = (of_real * outside).sum() / math.sqrt(6 * 7)
    assert inputs.offset.grad.item() == pytest.approx(expected.item(), rel=1e-9)


def test_an_offset_is_refused_where_no_bias_can_take_it():
    offset, plain = make("lsq_offset", 4, signed=False), make("lsq", 4, signed=True)
    with pytest.raises(
        IllegalModel, match=r"^matmul: an operand's offset must be an integer zero point, got a real one; use"
    ):
        QuantMatMul(plain, offset)
    weights = make("lsq", 4, signed=True, batched=False)
    with pytest.raises(
        IllegalModel, match=r"^conv2d: an input with a real offset must be per tensor and not padded, got padd"
    ):
        QuantConv2d(nn.Conv2d(3, 4, 3, padding=1), offset, weights)


def test_make_picks_identity_and_binary():
    assert isinstance(make("lsq", 32, signed=True), nn.Identity)
    assert type(make("lsq", 1, signed=True)).__name__ == "Binary"
    one = make("lsq", 1, signed=False)
    assert (type(one).__name__, one.qmin, one.qmax) == ("Lsq", 0, 1)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"quantizer: bits must be 1\.\.10, got 11; use nn\.Identity for float"):
        make("lsq", 11, signed=True)
    with pytest.raises(ValueError, match="lsq_plus: codes are unsigned, got signed=True"):
        make("lsq_plus", 4, signed=True)
    with pytest.raises(
        ValueError, match="quantizer: start must be one of search, mean, fixed_point, got 'best'; choose one"
    ):
        make("lsq", 4, signed=True, start="best")
    with pytest.raises(ValueError, match="lsq_offset: signed codes need 2 bits or more, got 1; use binary"):
        make("lsq_offset", 1, signed=True)
    with pytest.raises(ValueError, match="size must be 1 without an axis, got 3"):
        make("lsq", 4, signed=True, size=3)
    with pytest.raises(UnknownName, match="quantizer: unknown name, got 'lsqq'; known, nearest first: lsq, "):
        make("lsqq", 4, signed=True)
