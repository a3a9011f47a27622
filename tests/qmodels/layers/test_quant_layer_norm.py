"""Norms that read codes, of tokens and of images (B, C, H, W): the function, each channel's scale, and the integers."""

import pytest
import torch
from torch import nn

from qmodels import (
    models,
    torchvision_shim,  # noqa: F401 - before timm
)

# isort: split
import timm
from timm.layers.norm import LayerNorm2d, LayerNorm2dFp32, LayerNormExp2d

from hwsim.errors import HwsimError
from qmodels import reconstruction_study
from qmodels.layers.quant_layer_norm import QuantLayerNorm
from qmodels.quantizer import Quantizer
from qmodels.quantizers.uniform import Uniform
from qmodels.steps.factors import Factors
from qmodels.tracing import trace
from qmodels.verification import verify
from workloads.bits import Bits

IMAGE = (3, 64, 64)
SMALL = {"depths": (1, 1, 1, 1), "dims": (8, 12, 12, 12), "num_classes": 5, "conv_mlp": False}


def small(**more):
    return timm.create_model("convnext_atto", **SMALL, **more).eval()


@pytest.mark.parametrize("kind", [nn.LayerNorm, LayerNorm2d, LayerNorm2dFp32, LayerNormExp2d])
def test_without_a_quantizer_it_is_the_norm(kind):
    norm = kind(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 5, 4, 6) if kind is nn.LayerNorm else torch.randn(2, 6, 5, 4)
    torch.testing.assert_close(QuantLayerNorm(norm, nn.Identity())(x), norm(x))


def test_images_have_a_factor_for_each_channel():
    model = models.quantize(small(), Bits(8, 8), "fqvit", image=IMAGE)
    norms = [module for module in model.modules() if isinstance(module, QuantLayerNorm)]
    assert {norm.axis for norm in norms} == {1, -1}
    quantizer = next(norm for norm in norms if norm.axis == 1).input_quantizer
    x = torch.randn(2, len(quantizer.scale), 3, 3) * torch.tensor(0.5).pow(torch.arange(len(quantizer.scale)) % 4).view(
        1, -1, 1, 1
    )
    Factors().set_grid(x, quantizer)
    tokens = Uniform(8, axis=-1, size=len(quantizer.scale))
    Factors().set_grid(x.movedim(1, -1), tokens)
    assert torch.equal(quantizer.scale, tokens.scale)
    assert len(quantizer.scale.unique()) > 1


@pytest.mark.slow
def test_its_codes_are_exact_in_a_network_of_images():
    torch.manual_seed(0)
    model = models.quantize(small(), Bits(4, 4), "fqvit", image=IMAGE)
    images = torch.randn(4, *IMAGE)

    def find(module, inputs):
        channels = module.axis in (1, -1)
        Factors().set_grid(inputs[0], module) if channels else module.initialise(inputs[0])

    found = [module for module in model.modules() if isinstance(module, Quantizer) and not module.calibrated]
    handles = [module.register_forward_pre_hook(find) for module in found]
    model(images)
    for handle in handles:
        handle.remove()
    graph = trace(model, torch.zeros(2, *IMAGE), "small")
    report = verify(model, graph, images)
    for mode in ("node_by_node", "free_running"):
        assert report.mismatched(mode) == 0, report.first_diverging(mode)
        assert report.compared(mode) > 1000


def test_the_study_looks_at_channels_wherever_they_are(monkeypatch):
    seen = {}

    def errors(place, path, x, workload, *, batched=True):
        seen[place, path] = x
        yield from ()

    monkeypatch.setattr(reconstruction_study, "errors", errors)
    list(reconstruction_study.study(small(), torch.randn(2, *IMAGE), "small"))
    assert seen["norm_inputs", "stem.1"].shape == seen["layernorm", "stem.1"].shape == (2, 16, 16, 8)
    assert seen["norm_inputs", "stages.1.downsample.0"].shape[-1] == 8
    assert seen["norm_inputs", "stages.0.blocks.0.norm"].shape[-1] == 8


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (
            "ptq_minmax",
            "stages.0.blocks.0.conv_dw: uniform: signed codes need 2 bits or more, got 1; use unsigned ones, or lsq",
        ),
        (
            "fqvit",
            "stages.0.blocks.0.conv_dw: uniform: signed codes need 2 bits or more, got 1; use unsigned ones, or lsq",
        ),
    ],
)
def test_what_cannot_be_made_is_named(method, line):
    with pytest.raises(HwsimError) as caught:
        models.quantize(small(), Bits(1, 1), method, image=IMAGE)
    assert str(caught.value) == line
