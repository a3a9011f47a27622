"""Q-ViT: what its presets put where, LSQ's formulas in NumPy, and every form through trace and verify."""

import numpy as np
import pytest
import torch
from torch import nn

import workloads
from qmodels import data, frozen, models
from qmodels.calibrate import calibrate
from qmodels.clipping import mean_asymmetric
from qmodels.evidence import trace_model
from qmodels.fake_quantize import fake_quantize
from qmodels.folding import fold_input_scales
from qmodels.layers.clipped import Clipped
from qmodels.method import changed, find
from qmodels.quantizer import make
from qmodels.verification import verify
from workloads.bits import Bits

WORKLOAD = workloads.find("digits_w4a4")


@pytest.fixture(scope="module")
def digits():
    return data.load(WORKLOAD, "train", limit=64)


def _model(digits, name, changes=None, bits=WORKLOAD.bits):
    """A digits model by the method, with random weights, calibrated, ready to trace."""
    torch.manual_seed(1)
    model = models.quantize(models.create("digits_deit"), bits, changed(find(name), changes or {}))
    calibrate(model, digits[0])
    frozen.fold(model)
    return model


@pytest.mark.parametrize("bits", [Bits(2, 2), pytest.param(Bits(4, 4), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("qvit", {}),
        ("qvit", {"irm": "affine"}),
        ("qvit", {"irm": "frozen"}),
        ("qvit", {"irm": "frozen", "weights_per_tensor": "true", "gelu": "lsq_offset:unsigned"}),
        ("qvit", {"irm": "none", "per_head": "false"}),
        ("qvit_paper", {}),
        ("qvit_released", {}),
        ("qvit_released", {"per_input_channel": "false"}),
    ],
)
def test_no_code_differs_in_float64(digits, name, changes, bits):
    model = _model(digits, name, changes, bits)
    if name == "qvit_released" and not changes:
        model = model.double()
        assert not fold_input_scales(model, digits[0][:8].double()).refused
    images, labels = digits[0][:16], digits[1][:16]
    report = verify(model, trace_model(model, WORKLOAD), images, labels)
    for mode in ("node_by_node", "free_running"):
        assert report.compared(mode) > 3e5
        assert report.mismatched(mode) == 0
    assert report.agreeing == 16


def test_the_paper_has_real_offsets_at_layers_and_integer_ones_at_products(digits):
    model = _model(digits, "qvit_paper")
    block = model.blocks[0]
    assert block.mlp.fc1.input_quantizer.offset.shape == model.patch_embed.proj.input_quantizer.offset.shape == (1,)
    assert (type(block.attn.q_norm).__name__, type(block.attn.qk.a_quantizer).__name__) == ("AffineIrm", "LsqPlus")
    assert block.attn.q_norm.weight.shape == (3,)


def test_released_has_zero_points_everywhere_and_clips_behind_gelu(digits):
    model = _model(digits, "qvit_released")
    block = model.blocks[0]
    assert isinstance(block.attn.av.a_quantizer.zero_point, nn.Parameter)
    assert block.mlp.fc2.input_quantizer.scale.shape == (192,)
    assert isinstance(block.mlp.act, Clipped)
    assert block.mlp.act(torch.tensor([-20.0, 3.0, 10.5])).tolist() == pytest.approx([0, 2.99595, 10], abs=1e-4)
    scales = block.mlp.fc2.input_quantizer.scale
    assert scales.min() == scales.max()  # one number for all channels, as released


def test_the_released_start_is_its_formula():
    x = torch.randn(8, 5) - 0.5
    scale, zero_point = mean_asymmetric(x, 0, 15, 1)
    alpha = 2 * x.abs().mean() / 7**0.5
    assert scale.tolist() == pytest.approx([alpha.item()] * 5)
    assert zero_point.tolist() == pytest.approx([(0.1 * (x.min() + 8 * alpha) + 8).item()] * 5)
    scale, zero_point = mean_asymmetric(x.abs(), 0, 15, None)  # nothing below zero: unsigned codes
    assert scale.item() == pytest.approx((2 * x.abs().mean() / 15**0.5).item())
    assert zero_point.item() == pytest.approx(0.1 * x.abs().min().item())
    assert mean_asymmetric(torch.zeros(3, 2), 0, 3, 1)[0].tolist() == [1, 1]


@pytest.mark.parametrize(("name", "size"), [("digits_deit", {}), ("swin_tiny_patch4_window7_224", {"depths": (1, 1)})])
def test_the_slot_behind_gelu_is_that_of_the_second_layers(name, size):
    with torch.device("meta"):
        model = models.create(name, **size)
    model = models.quantize(model, Bits(4, 4), changed(find("qvit"), {"gelu": "lsq:signed"}), initialise=False)
    kinds = {n: type(m).__name__ for n, m in model.named_modules() if n.endswith("input_quantizer")}
    assert {n for n, kind in kinds.items() if kind == "Lsq"} == {n for n in kinds if "fc2" in n}


def test_weights_per_tensor_have_one_scale_each():
    model = models.quantize(
        models.create("digits_deit"), Bits(4, 4), changed(find("qvit"), {"weights_per_tensor": "true"})
    )
    sizes = {n: m.scale.numel() for n, m in model.named_modules() if n.endswith("weight_quantizer")}
    assert all(size == (3 if "qkv" in name else 1) for name, size in sizes.items())  # q, k and v are three tensors


@pytest.mark.parametrize("signed", [False, True])
def test_lsq_is_the_printed_formulas(signed):
    """Values and gradients of arXiv 2210.06707, section 3, without autograd; upstream gradients are arbitrary."""
    rng, bits, scale = np.random.default_rng(0), 3, 0.37
    low, high = (-4, 3) if signed else (0, 7)
    x, upstream = rng.normal(size=(6, 50)), rng.normal(size=(6, 50))
    u = x / scale
    q = np.rint(np.clip(u, low, high))
    inside = (u >= low) & (u <= high)
    factor = 1 / np.sqrt(50 * high)
    scale_gradient = np.where(inside, -u + np.rint(u), np.where(u < low, low, high))
    quantizer = make("lsq", bits, signed=signed).double().train()
    with torch.no_grad():
        quantizer.scale.fill_(scale)
    tensor = torch.from_numpy(x).requires_grad_()
    out = quantizer(tensor)
    np.testing.assert_allclose(out.detach(), scale * q, rtol=1e-12)
    out.backward(torch.from_numpy(upstream))
    near = (np.rint(u) == np.clip(np.rint(u), low, high)) & ~inside  # up to half a step outside: ours counts it inside
    np.testing.assert_allclose(tensor.grad, upstream * (inside | near), rtol=1e-12)
    ours = np.where(near, -u + np.rint(u), scale_gradient)
    assert quantizer.scale.grad.item() == pytest.approx((ours * upstream).sum() * factor)
    assert 0 < near.mean() < 0.1


def test_a_tie_with_an_odd_zero_point_is_all_that_differs_from_the_released_rounding():
    """Theirs: round(x / alpha + zero_point); ours: round(x / alpha) + zero_point."""
    x = torch.randn(4000)
    ours = fake_quantize(x, torch.tensor([0.3]), torch.tensor([5.0]), 0, 15, None, 1.0)
    theirs = ((x / 0.3 + 5).clamp(0, 15).round() - 5) * 0.3
    torch.testing.assert_close(ours, theirs)
    tie = fake_quantize(torch.tensor([0.5]), torch.ones(1), torch.tensor([5.0]), 0, 15, None, 1.0)
    assert (tie.item(), torch.tensor(0.5 + 5).round().item() - 5) == (0, 1)
