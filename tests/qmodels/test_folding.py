"""Scale reparametrization: the same codes by exact fractions, the same model where weights are not quantized, and what
the quantized weights lose is what the report says."""

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import workloads
from hwsim.errors import IllegalModel
from hwsim.simulator import simulate
from qmodels import builder, models
from qmodels.calibrate import calibrate
from qmodels.fake_quantize import fake_quantize
from qmodels.folding import fold_input_scales, images_of
from qmodels.layers.channel_affine import ChannelAffine
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.quantizer import Quantizer, make
from qmodels.tracing import INPUT, trace
from qmodels.verification import verify
from workloads.bits import Bits


def scattered(quantizer):
    """The quantizer with a scale per channel that spans a factor of 20 and, where it has them, random zero points."""
    with torch.no_grad():
        quantizer.scale.copy_(torch.exp(torch.empty_like(quantizer.scale).uniform_(math.log(0.05), 0)))
        if isinstance(quantizer.zero_point, nn.Parameter):
            quantizer.zero_point.uniform_(quantizer.qmin - 0.4, quantizer.qmax + 0.4)
    return quantizer


TINY = {
    "digits_deit": {"depth": 2},
    "deit_tiny_distilled_patch16_224": {"img_size": 32, "embed_dim": 48, "depth": 1, "num_heads": 3},
    "swin_tiny_patch4_window7_224": {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)},
}


def noise(name, count):
    """Images for the small model `name`."""
    size = TINY[name].get("img_size", 32)
    return torch.randn(count, 1 if name == "digits_deit" else 3, size, size)


def released(name="digits_deit", weights=None):
    """A small model with one scale per input channel, calibrated on noise; `weights` 32 leaves them unquantized."""
    model = models.quantize(models.create(name, **TINY[name]), Bits(4, 4), "qvit_released")
    calibrate(model, noise(name, 4))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
        if isinstance(module, QuantLinear | QuantConv2d):
            scattered(module.input_quantizer)
            if weights == 32:
                module.weight_quantizer = nn.Identity()
    return model.eval()


def codes_of(model, images):
    """Codes of every quantizer of a layer's input, and the output."""
    codes, handles = {}, []
    for name, module in model.named_modules():
        if name.endswith("input_quantizer"):
            handles.append(
                module.register_forward_hook(
                    lambda module, inputs, _out, name=name: codes.update({name: module.codes(inputs[0])})
                )
            )
    with torch.no_grad():
        output = model(images)
    for handle in handles:
        handle.remove()
    return codes, output


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", TINY)
def test_with_float_weights_nothing_changes(name, dtype):
    model, images = released(name, weights=32).to(dtype), noise(name, 6).to(dtype)
    before, expected = codes_of(model, images)
    report = fold_input_scales(model, images)
    after, output = codes_of(model, images)
    assert len(report.folds) == len(before)
    different = sum(int((before[key] != after[key]).sum()) for key in before)
    if dtype == torch.float64:
        assert different == 0
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-9)
        assert report.sqnr_db > 200
    else:  # a code may flip where x / s is within rounding of a tie, and moves those behind it
        assert different < 1e-3 * sum(codes.numel() for codes in before.values())
        assert report.sqnr_db > 30
    for fold in report.folds:
        assert fold.weight_error < (1e-15 if dtype == torch.float64 else 1e-7)
        assert fold.sqnr_db > (250 if dtype == torch.float64 else 100)
    assert all(
        module.input_quantizer.axis is None and module.input_quantizer.scale.numel() == 1
        for module in model.modules()
        if isinstance(module, QuantLinear | QuantConv2d)
    )


@pytest.mark.parametrize(
    ("kind", "bits", "signed"), [("lsq_plus", 4, False), ("lsq", 3, True), ("lsq", 1, True), ("uniform", 4, False)]
)
def test_codes_are_those_of_the_definition_in_fractions(kind, bits, signed):
    layer = QuantLinear(nn.Linear(8, 5), scattered(make(kind, bits, signed=signed, axis=-1, size=8)), nn.Identity())
    net = nn.Sequential(layer).double().requires_grad_(False)
    old = copy.deepcopy(layer.input_quantizer)
    x = torch.randn(50, 8, dtype=torch.float64) * 2
    fold_input_scales(net, x[:2])
    codes = layer.input_quantizer.codes(layer.input_affine(x)).numpy()
    for row, values in enumerate(x.tolist()):
        for k, value in enumerate(values):
            if bits == 1:
                assert codes[row, k] == (1 if value >= 0 else -1)
                continue
            exact = Fraction(value) / Fraction(float(old.positive_scale()[k]))
            zero = min(max(round(Fraction(float(old.zero_point[k]))), old.qmin), old.qmax)
            assert codes[row, k] == min(max(round(exact) + zero, old.qmin), old.qmax)


def test_a_tie_goes_to_even_before_and_after_and_so_may_move_with_an_odd_zero_point():
    """The documented exception: x / s = 1/2 rounds to 0 at the zero point 1, and to 2 - 1 once it is moved by 1."""
    quantizer = make("lsq_plus", 4, signed=False, axis=-1, size=2)
    with torch.no_grad():
        quantizer.scale.fill_(1.0)
        quantizer.zero_point.copy_(torch.tensor([9.0, 7.0]))
    layer = QuantLinear(nn.Linear(2, 1), quantizer, nn.Identity()).double()
    x = torch.tensor([[0.5, 0.5], [0.6, 0.4]], dtype=torch.float64)
    before = quantizer.codes(x)
    fold_input_scales(nn.Sequential(layer), x)
    after = layer.input_quantizer.codes(layer.input_affine(x))
    assert (before.tolist(), after.tolist()) == ([[9, 7], [10, 7]], [[10, 8], [10, 7]])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_with_scales_per_input_channel(groups, bias):
    conv = nn.Conv2d(4, 6, 2, stride=2, groups=groups, bias=bias)
    quantizer = scattered(make("lsq_plus", 4, signed=False, axis=1, size=4))
    net = nn.Sequential(QuantConv2d(conv, quantizer, nn.Identity())).double()
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    expected = net(x)
    report = fold_input_scales(net, x)
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-12)
    assert [fold.into for fold in report.folds] == ["0.input_affine"]
    assert isinstance(net[0].input_affine, ChannelAffine)


@pytest.mark.parametrize("same", [True, False])
def test_a_convolution_with_padding_keeps_its_zeros(same):
    """Where all zero points agree, padding is zero in the new grid too; where they do not, it would be none."""
    conv = nn.Conv2d(4, 6, 3, padding=0 if same else 1)
    quantizer = scattered(make("lsq_plus", 4, signed=False, axis=1, size=4))
    net = nn.Sequential(QuantConv2d(conv, quantizer, nn.Identity(), same)).double()
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    reason = "its padding is real zeros, which other zero points move; quantize per tensor"
    assert fold_input_scales(net, x).refused == (("0", reason),)
    with torch.no_grad():
        quantizer.zero_point.fill_(5)
    expected = net(x)
    report = fold_input_scales(net, x)
    assert [fold.moved for fold in report.folds] == [0]
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-12)


def test_refused_before_accepted_after_and_integers_agree(tmp_path):
    model, images = released(), torch.randn(12, 1, 32, 32)
    with pytest.raises(IllegalModel, match=r"^patch_embed\.proj: a scale along the reduction axis .* --fold-input-sca"):
        trace(model, images, "released")
    fold_input_scales(model, images)
    graph = trace(model, images, "folded")
    report = verify(model, graph, images, torch.zeros(12, dtype=torch.int64))
    for mode in ("node_by_node", "free_running"):
        assert report.mismatched(mode) == 0, report.first_diverging(mode)
        assert report.compared(mode) > 10**5
    names = {node.name for node in graph.nodes}
    affine = "blocks.1.mlp.fc2.input_affine"
    assert {f"{affine}.mul", f"{affine}.add", "blocks.1.mlp.fc2.input"} <= names
    assert not any(name.startswith("blocks.1.mlp.fc1.input_affine") for name in names)


def test_the_graph_of_a_folded_model_computes_what_the_model_did():
    """End to end, on weights that are not quantized: the illegal model in torch, the legal graph in the simulator."""
    model, images = released(weights=32).double(), torch.randn(5, 1, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = model(images).numpy()
    fold_input_scales(model, images)
    graph = trace(model, images, "folded")
    np.testing.assert_allclose(simulate(graph, {INPUT: images.numpy()})["head.bias"], expected, rtol=0, atol=1e-9)


def test_the_report_says_what_went_where_and_what_it_lost():
    model, images = released().double(), torch.randn(8, 1, 32, 32, dtype=torch.float64)
    old = copy.deepcopy(model)
    report = fold_input_scales(model, images)
    into = {fold.layer: fold.into for fold in report.folds}
    assert len(into) == 10
    assert into["blocks.1.attn.qkv"] == "blocks.1.norm1"
    assert into["blocks.1.mlp.fc1"] == "blocks.1.norm2"
    assert into["head"] == "norm"
    assert into["blocks.1.attn.proj"] == "blocks.1.attn.proj.input_affine"
    assert into["patch_embed.proj"] == ""  # a single channel: nothing to move
    fold = next(fold for fold in report.folds if fold.layer == "blocks.1.mlp.fc2")
    before, after = old.blocks[1].mlp.fc2, model.blocks[1].mlp.fc2
    scale = before.input_quantizer.positive_scale()
    assert (fold.channels, fold.spread) == (192, pytest.approx((scale.max() / scale.min()).item()))
    zeros = before.input_quantizer.zero_point.round().clamp(0, 15)
    assert fold.moved == (zeros - after.input_quantizer.zero_point).abs().max()
    r1 = scale / after.input_quantizer.scale
    wanted = before.weight_quantizer(before.weight) * r1
    got = after.weight_quantizer(after.weight)
    assert fold.weight_error == pytest.approx(((got - wanted).norm() / wanted.norm()).item())
    assert 0.01 < fold.weight_error < 0.4
    x = captured(old, "blocks.1.mlp.fc2", images)
    with torch.no_grad():
        y, z = before(x), after(x)
        loss = (old(images) - model(images)).square().sum()
        assert fold.sqnr_db == pytest.approx(10 * torch.log10(y.square().sum() / (z - y).square().sum()).item())
        assert report.sqnr_db == pytest.approx(10 * torch.log10(old(images).square().sum() / loss).item())
    head, columns, *rows = str(report).splitlines()
    assert head.startswith(
        "input scales folded: 10 layers, 5 into a LayerNorm, 4 by an inserted multiplication; SQNR of"
    )
    assert head.endswith(f"model's output {report.sqnr_db:.1f} dB on 8 images")
    assert columns.split()[:3] == ["layer", "folded", "into"]
    assert len(rows) == 10


def captured(model, path, images):
    """The input of the module at `path`."""
    seen = []
    handle = model.get_submodule(path).register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(images)
    handle.remove()
    return seen[0]


def test_weights_are_quantized_again_only_where_they_change():
    model = released()
    with torch.no_grad():
        for block in model.blocks:
            block.mlp.fc1.input_quantizer.scale.fill_(0.25)  # equal scales: only zero points move
    before = copy.deepcopy(model)
    report = fold_input_scales(model, torch.randn(2, 1, 32, 32))
    lost = {fold.layer: fold.weight_error for fold in report.folds}
    for old, new in zip(before.blocks, model.blocks, strict=True):
        assert torch.equal(old.mlp.fc1.weight_quantizer.scale, new.mlp.fc1.weight_quantizer.scale)
        assert not torch.equal(old.attn.qkv.weight_quantizer.scale, new.attn.qkv.weight_quantizer.scale)
    assert all(lost[f"blocks.{i}.mlp.fc1"] == 0 for i in range(2))
    assert all(lost[f"blocks.{i}.attn.qkv"] > 0.01 for i in range(2))


def test_a_norm_that_two_heads_read_is_left_alone():
    name = "deit_tiny_distilled_patch16_224"
    model, images = released(name), noise(name, 2)
    gain, offset = model.norm.weight.clone(), model.norm.bias.clone()
    report = fold_input_scales(model, images)
    into = {fold.layer: fold.into for fold in report.folds}
    assert (into["head"], into["head_dist"]) == ("head.input_affine", "head_dist.input_affine")
    assert torch.equal(gain, model.norm.weight)
    assert torch.equal(offset, model.norm.bias)


class Products(nn.Module):
    """A product of two activations, and a convolution with a scale per row of the image."""

    def __init__(self):
        super().__init__()
        along = {"signed": True, "axis": 3, "size": 6}
        self.qk = QuantMatMul(make("lsq", 4, **along), make("lsq", 4, signed=True, axis=2, size=6))
        self.conv = QuantConv2d(nn.Conv2d(3, 4, 2), make("lsq", 4, signed=True, axis=2, size=6), nn.Identity())

    def forward(self, x):
        return self.qk(x, x.transpose(2, 3)).sum() + self.conv(x).sum()


class Odd(Quantizer):
    """A quantizer whose grid nobody knows."""

    def __init__(self):
        super().__init__(4, 0, 15, axis=-1, size=6, batched=True)
        self.register_buffer("zero_point", torch.zeros(6))

    def forward(self, x):
        return fake_quantize(x, self.positive_scale(), self.zero_point, 0, 15, -1, 1.0)

    def initialise(self, x):
        self.calibrated = True

    def codes(self, x):
        return torch.zeros_like(x, dtype=torch.int32)


def test_what_cannot_be_mended_is_said():
    report = fold_input_scales(Products(), torch.randn(2, 3, 6, 6))
    assert report.folds == ()
    assert report.refused == (
        ("qk.a_quantizer", "no operand of this product is a weight; quantize per head"),
        ("qk.b_quantizer", "no operand of this product is a weight; quantize per head"),
        ("conv", "its scales lie along axis 2, not 1; quantize per tensor"),
    )
    assert (
        "  conv: cannot be folded: its scales lie along axis 2, not 1; quantize per tensor" in str(report).splitlines()
    )


def test_a_grid_that_is_not_uniform_is_refused():
    net = nn.Sequential(QuantLinear(nn.Linear(6, 2), Odd(), nn.Identity()))
    assert fold_input_scales(net, torch.randn(2, 6)).refused == (
        ("0", "the grid of Odd is not uniform; quantize per tensor"),
    )


def test_a_legal_model_stays_as_it_is():
    model = builder.build("digits_w4a4")
    before = copy.deepcopy(model.state_dict())
    report = fold_input_scales(model, torch.randn(2, 1, 32, 32))
    assert str(report) == "input scales folded: none, no layer has one scale per input channel"
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_folding_twice_is_folding_once():
    model, images = released(), torch.randn(2, 1, 32, 32)
    fold_input_scales(model, images)
    once = copy.deepcopy(model.state_dict())
    assert fold_input_scales(model.train(), images).folds == ()
    assert model.training
    assert all(torch.equal(tensor, once[key]) for key, tensor in model.state_dict().items())


def test_images_for_the_losses():
    digits = images_of(workloads.find("digits_deit_w4a4_qvit_released"))
    assert (digits.shape, digits.dtype) == ((64, 1, 32, 32), torch.float64)
    noise = images_of(workloads.find("deit_tiny_patch16_224_w4a4_qvit_released"))
    assert noise.shape == (2, 3, 224, 224)
    assert torch.equal(noise, images_of(workloads.find("deit_tiny_patch16_224_w4a4")))


def test_the_affine_is_its_equation():
    x = torch.randn(2, 3, 4, 4)
    gain, shift = torch.randn(3, 1, 1), torch.randn(3, 1, 1)
    assert torch.equal(ChannelAffine(gain, shift)(x), x * gain + shift)
    assert torch.equal(ChannelAffine(gain, None)(x), x * gain)
    assert F.l1_loss(ChannelAffine(gain, None)(x), x * gain) == 0
