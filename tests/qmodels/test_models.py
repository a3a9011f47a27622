import copy

import pytest
import safetensors.torch
import torch

import workloads
from hwsim.errors import HwsimError, IllegalModel, UnknownName
from qmodels import models, torchvision_shim  # noqa: F401 - before timm
from qmodels.calibrate import calibrate
from qmodels.quantizer import Quantizer
from workloads.bits import Bits

# isort: split
import timm

DEIT, DISTILLED, SWIN = "deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224"
QUANTIZERS = {DEIT: 148, DISTILLED: 150, SWIN: 154}  # 2 per linear and convolution, 4 per attention


@pytest.fixture(
    scope="module", params=[DEIT, *(pytest.param(name, marks=pytest.mark.slow) for name in (DISTILLED, SWIN))]
)
def case(request):
    """Name, float model, images (2, 3, 224, 224), float logits; nobody changes them."""
    torch.manual_seed(0)
    model, images = models.create(request.param), torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        return request.param, model, images, model(images)


def test_at_32_bits_it_is_the_float_model(case):
    name, model, images, expected = case
    quantized = models.quantize(copy.deepcopy(model), Bits(32, 32), "qvit")
    assert quantized.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        if name != SWIN:
            assert torch.equal(quantized(images), expected)
        else:  # 1 / sqrt(32) is not a power of two: before or behind the product is not the same rounding
            torch.testing.assert_close(quantized(images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["lsq", "qvit"])
def test_w8a8_is_close_and_exports_one_node_per_quantizer(case, method):
    name, model, images, expected = case
    quantized = calibrate(models.quantize(copy.deepcopy(model), Bits(8, 8), method), images)
    quantizers = [m for m in quantized.modules() if isinstance(m, Quantizer)]
    assert len(quantizers) == QUANTIZERS[name]
    assert all(q.calibrated for q in quantizers)
    with torch.no_grad():
        assert ((quantized(images) - expected).norm() / expected.norm()) < 0.1
    if method == "lsq":
        return
    double = copy.deepcopy(quantized).double().eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(double, (images.double(),), dynamic_shapes=dynamic)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets.count("hwsim.fake_quantize.default") == QUANTIZERS[name]
    one = images[:1].double()
    with torch.no_grad():
        assert torch.equal(program.module()(one), double(one))


def test_qvit_puts_quantizers_where_the_paper_does():
    model = models.quantize(models.create("digits_deit"), Bits(4, 3), "qvit")
    attention = model.blocks[0].attn
    face = {
        "patch_embed.proj.input_quantizer": (8, None, 1),
        "patch_embed.proj.weight_quantizer": (8, 0, 48),
        "head.input_quantizer": (8, None, 1),
        "head.weight_quantizer": (8, 0, 10),
        "blocks.0.attn.qkv.input_quantizer": (3, None, 1),
        "blocks.0.attn.qkv.weight_quantizer": (4, 0, 144),
        "blocks.0.attn.qk.a_quantizer": (3, 1, 3),
        "blocks.0.attn.qk.b_quantizer": (3, 1, 3),
        "blocks.0.attn.av.a_quantizer": (3, 1, 3),
        "blocks.0.attn.av.b_quantizer": (3, 1, 3),
        "blocks.0.mlp.fc2.input_quantizer": (3, None, 1),
    }
    for name, expected in face.items():
        quantizer = model.get_submodule(name)
        assert (quantizer.bits, quantizer.axis, quantizer.scale.numel()) == expected, name
    assert type(attention.q_norm).__name__ == type(attention.k_norm).__name__ == "Irm"
    assert isinstance(attention.qk.a_quantizer.zero_point, torch.nn.Parameter)
    assert attention.av.a_quantizer.qmin == 0


def test_released_qvit_has_one_scale_per_input_channel():
    model = models.quantize(
        models.create("swin_tiny_patch4_window7_224"), Bits(4, 3), "qvit_released", initialise=False
    )
    inputs = {name: q for name, q in model.named_modules() if name.endswith("input_quantizer")}
    layers = {name: model.get_submodule(name.removesuffix(".input_quantizer")) for name in inputs}
    assert len(inputs) == 53
    assert {q.axis for name, q in inputs.items() if name != "patch_embed.proj.input_quantizer"} == {-1}
    assert (
        inputs["patch_embed.proj.input_quantizer"].axis,
        layers["patch_embed.proj.input_quantizer"].in_channels,
    ) == (1, 3)
    assert all(q.scale.shape == q.zero_point.shape == (layers[name].weight.shape[1],) for name, q in inputs.items())
    attention = model.layers[0].blocks[0].attn
    assert (attention.av.a_quantizer.axis, attention.av.a_quantizer.scale.numel()) == (1, 3)  # per head, as released
    assert type(attention.q_norm).__name__ == "Irm"


@pytest.mark.parametrize("bits", [Bits(1, 1), Bits(1, 8), Bits(32, 2), Bits(5, 32)])
@pytest.mark.parametrize("method", ["lsq", "qvit", "qvit_released"])
def test_all_bits_run(bits, method):
    images = torch.randn(2, 1, 32, 32)
    model = calibrate(models.quantize(models.create("digits_deit"), bits, method), images)
    assert model(images).isfinite().all()


@pytest.mark.parametrize("name", workloads.models.names())
def test_timm_has_every_model(name):
    assert timm.is_model(workloads.models.find(name).timm)


def test_float_state_dict_loads_by_name():
    source = models.create("digits_deit")
    model = models.quantize(models.create("digits_deit"), Bits(4, 4), "qvit")
    missing, unexpected = model.load_state_dict(source.state_dict(), strict=False)
    assert not unexpected
    assert all("quantizer" in name or "q_norm" in name or "k_norm" in name for name in missing)


def test_names_of_timm_are_models_on_the_images_of_its_configuration():
    assert models.image_of(workloads.models.find("digits_deit")) == (1, 32, 32)
    assert models.image_of(workloads.models.find("efficientnet_b4")) == (3, 320, 320)
    assert models.image_of(workloads.models.find("vit_base_patch16_siglip_384")) == (3, 384, 384)
    with torch.device("meta"):
        assert type(models.create("resnet18")).__name__ == "ResNet"


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet26d", "convnext_tiny", "efficientnet_b0", "mobilenetv2_100", "vit_small_r26_s32_224"]
)
def test_the_ends_are_what_timm_calls_the_first_convolution_and_the_classifier(name):
    with torch.device("meta"):
        model = models.create(name)
    config = timm.get_pretrained_cfg(name)
    model = models.quantize(model, Bits(4, 4, ends=7), "lsq", initialise=False)
    ends = {q.removesuffix(".weight_quantizer") for q, m in model.named_modules() if getattr(m, "bits", 0) == 7}
    ends = {end for end in ends if not end.endswith("input_quantizer")}
    hybrid = {"patch_embed.proj"} if "patch_embed" in config.first_conv else set()
    assert ends == {config.first_conv, config.classifier} | hybrid


def test_a_first_layer_that_the_cost_model_does_not_know_is_refused():
    with torch.device("meta"):
        model = models.create("densenet121")
    with pytest.raises(IllegalModel) as caught:
        models.quantize(model, Bits(4, 4), "lsq", initialise=False)
    assert str(caught.value) == (
        "features.conv0: the first and the last layer must be of the groups patch_embed and head, got conv; name it in "
        "hwsim/cost/groups.py"
    )


class _Own(torch.nn.Conv2d):
    """A convolution of another kind."""


def test_a_convolution_of_another_kind_is_refused():
    model = models.create("resnet18")
    model.layer1[0].conv1 = _Own(64, 64, 3, padding=1)
    with pytest.raises(IllegalModel) as caught:
        models.quantize(model, Bits(4, 4), "lsq", initialise=False)
    assert str(caught.value) == (
        "layer1.0.conv1: a convolution must be one of Conv2d, Conv2dSame, StdConv2d, StdConv2dSame, ScaledStdConv2d, "
        f"ScaledStdConv2dSame, got {_Own}; replace it"
    )


def test_unknown_model_and_method():
    with pytest.raises(UnknownName, match="model: unknown name, got 'deit'; known, nearest first: digits_deit, "):
        models.create("deit")
    with pytest.raises(UnknownName, match="model: unknown name, got 'resnet19'; known, nearest first: resnet1"):
        models.image_of(workloads.models.find("resnet19"))
    with pytest.raises(UnknownName, match="method: unknown name, got 'qvitt'; known, nearest first: qvit, "):
        models.quantize(models.create("digits_deit"), Bits(4, 4), "qvitt")


def test_an_unreachable_hub_names_the_offline_ways(monkeypatch):
    def unreachable(*_arguments, **_keywords):
        raise FileNotFoundError("no connection\nand more lines")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(HwsimError) as caught:
        models.create(DEIT, pretrained=True)
    assert str(caught.value) == (
        "deit_tiny_patch16_224: weights cannot be loaded, got FileNotFoundError: no connection; without a network give "
        "checkpoint_path=FILE, or pretrained_cfg_overlay={'file': FILE}"
    )


def test_real_weights_load_from_a_file_without_a_network(tmp_path):
    torch.manual_seed(3)
    weights = {name: torch.randn_like(tensor) for name, tensor in models.create(DEIT).state_dict().items()}
    file = tmp_path / "deit.safetensors"
    safetensors.torch.save_file(weights, file)
    for given in ({"checkpoint_path": str(file)}, {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}):
        loaded = models.create(DEIT, **given)
        assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())
