"""The forms of IRM against their equations, what they are for, and the folding of the frozen one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.errors import IllegalModel
from qmodels import builder, frozen, models
from qmodels.calibrate import calibrate
from qmodels.layers.affine_irm import AffineIrm
from qmodels.layers.frozen_irm import FrozenIrm
from qmodels.layers.irm import Irm
from qmodels.layers.quant_attention import QuantAttention
from qmodels.method import changed, find
from qmodels.quantizer import Quantizer, make
from qmodels.tracing import trace
from workloads.bits import Bits

FORMS = {"layernorm": lambda: Irm(16), "affine": lambda: AffineIrm(3), "frozen": lambda: FrozenIrm(3, 16)}


def _scattered(form):
    with torch.no_grad():
        form.weight.uniform_(0.5, 2)
        form.bias.normal_()
    return form


def test_affine_is_its_equation():
    irm = _scattered(AffineIrm(3))
    x = torch.randn(2, 3, 7, 16) * 3 + 1
    for image in range(2):
        for head in range(3):
            own = x[image, head].numpy().astype(np.float64)
            expected = irm.weight[head].item() * (own - own.mean()) / np.sqrt(own.var() + 1e-5) + irm.bias[head].item()
            np.testing.assert_allclose(irm(x)[image, head].detach(), expected, rtol=1e-5, atol=1e-5)


def test_frozen_is_its_equation_with_the_statistics_of_calibration():
    irm, calibration = FrozenIrm(3, 16), torch.randn(5, 3, 7, 16) * torch.tensor([1.0, 2, 3])[:, None, None] + 1
    irm.initialise(calibration)
    _scattered(irm)
    x = torch.randn(2, 3, 4, 16)
    for head in range(3):
        own = calibration[:, head].numpy().astype(np.float64)
        gain, shift = (p.detach().numpy().reshape(3, 16)[head] for p in (irm.weight, irm.bias))
        expected = gain * (x[:, head].numpy() - own.mean()) / own.std() + shift
        np.testing.assert_allclose(irm(x)[:, head].detach(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_constant_token_gives_beta(form):
    irm = _scattered(FORMS[form]())
    if form == "frozen":
        irm.initialise(torch.ones(1, 3, 4, 16))  # no deviation at all
    out = irm(torch.ones(1, 3, 4, 16))
    assert out.isfinite().all()
    shift = irm.bias.detach().reshape(-1, 1, 16) if form != "affine" else irm.bias.detach()[:, None, None]
    torch.testing.assert_close(out[0].detach(), shift.expand(3, 4, 16), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_the_start_is_the_nearest_to_what_it_replaces(form):
    x = torch.randn(4, 3, 50, 16) * torch.linspace(0.5, 2, 16) + torch.linspace(-1, 1, 16)
    irm = FORMS[form]()
    irm.initialise(x)
    assert irm.calibrated
    loss = (irm(x) - x).square().mean()
    loss.backward()
    assert irm.weight.grad.abs().max() < 1e-4
    assert irm.bias.grad.abs().max() < 1e-4
    if form == "frozen":
        assert loss < 1e-10


@pytest.mark.parametrize("form", ["affine", "frozen"])
def test_standardised_codes_hold_more_where_heads_are_skewed(form):
    """Symmetric codes for heads that lie aside of zero: IRM of gain 1 and offset 0 brings the entropy of the codes up."""
    x = torch.randn(8, 3, 65, 16) * torch.tensor([0.2, 1, 2])[:, None, None] + torch.tensor([3.0, 3, 4])[:, None, None]
    irm = FORMS[form]()
    irm.initialise(x)
    with torch.no_grad():
        irm.weight.fill_(1)
        irm.bias.fill_(0)
    entropies = []
    for values in (x, irm(x).detach()):
        quantizer = make("lsq", 2, signed=True)
        quantizer.initialise(values)
        share = (quantizer.codes(values).flatten() + 2).bincount() / values.numel()
        entropies.append(-(share[share > 0] * share[share > 0].log2()).sum().item())
    assert entropies[1] > entropies[0] + 0.1


@pytest.mark.parametrize("per_tensor", ["false", "true"])
@pytest.mark.parametrize("bits", [Bits(4, 4), Bits(1, 2), Bits(32, 8)])
@pytest.mark.parametrize("name", ["digits_deit", "swin_tiny_patch4_window7_224"])
def test_folding_the_frozen_form_changes_no_code_and_no_output(name, bits, per_tensor):
    small = {} if name == "digits_deit" else {"img_size": 56, "embed_dim": 24, "depths": (1, 1), "num_heads": (2, 4)}
    method = changed(find("qvit"), {"irm": "frozen", "weights_per_tensor": per_tensor})
    images = torch.randn(2, 1, 32, 32) if name == "digits_deit" else torch.randn(2, 3, 56, 56)
    model = calibrate(models.quantize(models.create(name, **small), bits, method), images).double().eval()
    for module in model.modules():
        if isinstance(module, FrozenIrm):
            _scattered(module)
        elif hasattr(module, "qkv"):
            nn.init.normal_(module.qkv.bias)
    qkv = next(m for m in model.modules() if hasattr(m, "qkv")).qkv
    before = copy.deepcopy(qkv)
    with torch.no_grad():
        expected = model(images.double())
        assert len(frozen.fold(model)) == sum(hasattr(m, "qkv") for m in model.modules()) > 0
        torch.testing.assert_close(model(images.double()), expected, rtol=1e-9, atol=1e-9)
    if isinstance(qkv.weight_quantizer, Quantizer):
        ours, theirs = (q.weight_quantizer.codes(q.weight) for q in (qkv, before))
        assert torch.equal(ours, theirs)
        assert qkv.weight_quantizer.scale.unique().numel() > before.weight_quantizer.scale.numel() // 2
    assert not any(isinstance(m, FrozenIrm) for m in model.modules())
    assert frozen.fold(model) == ()


def test_a_frozen_irm_that_stands_elsewhere_is_refused():
    model = nn.Module()
    model.attn = nn.Module()
    model.attn.q_norm = FrozenIrm(3, 16)
    with pytest.raises(IllegalModel) as caught:
        frozen.fold(model)
    assert str(caught.value) == (
        "attn: a frozen IRM is folded into the qkv layer of timm's Attention or WindowAttention, got Module; choose "
        "irm=layernorm"
    )


def test_forms_that_a_model_has_no_place_for_are_refused():
    model = models.create("eva02_tiny_patch14_224", img_size=28, depth=1)
    with pytest.raises(IllegalModel) as caught:
        models.quantize(model, Bits(4, 4), changed(find("qvit"), {"irm": "affine"}), initialise=False)
    assert str(caught.value) == (
        "blocks.0.attn: IRM in the form affine needs timm's Attention or WindowAttention, got EvaAttention; choose "
        "irm=layernorm"
    )


@pytest.mark.parametrize(("form", "norms"), [("layernorm", 17), ("affine", 17), ("frozen", 9), ("none", 9)])
def test_norms_of_the_traced_graph(form, norms):
    model = models.quantize(models.create("digits_deit"), Bits(4, 4), changed(find("qvit"), {"irm": form}))
    frozen.fold(calibrate(model, torch.randn(2, 1, 32, 32)))
    graph = trace(model, torch.zeros(2, 1, 32, 32))
    assert sum("norm" in type(node.op).__name__.lower() for node in graph.nodes) == norms
    assert graph.meta["rectified"] == (form in ("layernorm", "affine"))
    plain = trace(models.quantize(models.create("digits_deit"), Bits(4, 4), "lsq"), torch.zeros(2, 1, 32, 32))
    assert (len(graph.nodes) == len(plain.nodes)) == (form in ("frozen", "none"))


def test_a_built_model_is_ready_to_trace():
    attentions = [m for m in builder.build("digits_deit_w4a4_qvit").modules() if isinstance(m, QuantAttention)]
    assert all(isinstance(a.q_norm, Irm) for a in attentions)
