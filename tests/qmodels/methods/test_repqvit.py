"""RepQ-ViT: integers as its fake-quant model has them, and immunity to what per-tensor quantizers cannot survive."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from hwsim.graph import op_name
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.simulator import as_codes, simulate
from qmodels import builder, checkpoint, data, ptq
from qmodels.evaluation import logits
from qmodels.evidence import trace_model
from qmodels.quantizers.uniform import Uniform
from qmodels.steps.channelwise import Channelwise
from qmodels.tracing import INPUT, trace
from qmodels.verification import verify
from workloads import models as known
from workloads.models import Model

SPANS = (1, 33, 300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("repqvit")


@pytest.fixture(scope="module")
def teachers(folder):
    """Float digits models of one function: gains and offsets behind which weights are divided by what multiplied those."""
    found = {}
    for span in SPANS:
        model, draw = builder.build("digits_float"), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for block in model.blocks:
                for norm, layer in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
                    factor = torch.exp((torch.rand(48, generator=draw) - 0.5) * math.log(span))
                    norm.weight *= factor
                    norm.bias *= factor
                    layer.weight /= factor
        found[span] = folder / f"float_{span}.safetensors"
        checkpoint.save(model, "digits_float", found[span])
    return found


@pytest.fixture(scope="module")
def calibrated(folder, teachers):
    """Models by method, bits and span, each calibrated once."""
    made = {}

    def calibrate(method, bits, span=1):
        key = (method, bits, span)
        if key not in made:
            out = folder / "_".join(map(str, key))
            made[key] = ptq.calibrate(f"digits_deit_{bits}", method=method, out=out, teacher=teachers[span])
        return made[key]

    return calibrate


def divergence(model, images):
    """KL(float || model) in nat, mean over images, and the share of images on whose class both agree."""
    float_model = builder.build("digits_float")
    with torch.no_grad():
        own, wanted = logits(model, images).log_softmax(1), logits(float_model, images).log_softmax(1)
    agreeing = (own.argmax(1) == wanted.argmax(1)).double().mean().item()
    return F.kl_div(own, wanted, log_target=True, reduction="batchmean").item(), agreeing


def weight_codes(model):
    layers = [module for module in model.modules() if isinstance(getattr(module, "weight_quantizer", None), Uniform)]
    return torch.cat([layer.weight_quantizer.codes(layer.weight).flatten() for layer in layers])


def test_the_teachers_are_one_function(teachers):
    images = data.digits("test")[0][:32]
    with torch.no_grad():
        outputs = [checkpoint.load(path)[0](images) for path in teachers.values()]
    assert all(torch.allclose(output, outputs[0], atol=1e-3) for output in outputs[1:])


@pytest.mark.parametrize("bits", ["w4a4", pytest.param("w3a3", marks=pytest.mark.slow)])
def test_its_integers_are_those_of_its_fake_quant_model(calibrated, bits):
    outcome = calibrated("repqvit", bits)
    images, labels = data.digits("test")
    graph = trace_model(outcome.model, outcome.workload)
    report = verify(outcome.model, graph, images[:12], labels[:12])
    for mode in ("node_by_node", "free_running"):
        assert report.mismatched(mode) == 0, report.first_diverging(mode)
        assert report.compared(mode) > 10**6
    assert report.agreeing == 12
    for node in graph.nodes:
        if op_name(node.op) in ("linear", "matmul", "conv2d"):
            assert all(graph.specs[operand].quant is not None for operand in node.inputs), node.name


def test_it_has_an_integer_form(calibrated):
    outcome = calibrated("repqvit", "w4a4")
    graph = trace_model(outcome.model, outcome.workload)
    feeds = {INPUT: data.digits("train")[0][:32].numpy()}
    integers = integerize(graph, "lut", measure(graph, feeds))
    assert float_parts(integers) == ()
    ours = simulate(integers, as_codes(integers, feeds))[integers.outputs[0]].argmax(1)
    with torch.no_grad():
        theirs = outcome.model.double()(data.digits("train")[0][:32].double()).argmax(1).numpy()
    outcome.model.float()
    assert (ours == theirs).mean() > 0.8


def test_it_beats_its_parts_on_the_model_as_it_is(calibrated):
    images = data.digits("test")[0]
    ours, agreeing = divergence(calibrated("repqvit", "w4a4").model, images)
    assert (ours < 0.03, agreeing > 0.97) == (True, True)
    assert divergence(calibrated("ptq_percentile", "w4a4").model, images)[0] > 2 * ours


@pytest.mark.parametrize("span", [pytest.param(33, marks=pytest.mark.slow), 300])
def test_gains_that_differ_from_channel_to_channel_do_not_matter(calibrated, span):
    """METHODS' strongest property: all that differs is where rounding in float32 meets a tie."""
    images = data.digits("test")[0]
    plain, other = (calibrated("repqvit", "w4a4", s).model for s in (1, span))
    codes = weight_codes(plain)
    assert len(codes) > 10**5
    assert (codes != weight_codes(other)).float().mean() < 0.01
    (before, _), (after, _) = divergence(plain, images), divergence(other, images)
    assert after == pytest.approx(before, rel=0.05)


@pytest.mark.parametrize("method", [pytest.param("ptq_percentile", marks=pytest.mark.slow), "ptq_minmax"])
def test_a_scale_per_tensor_does_not_survive_them(calibrated, method):
    images = data.digits("test")[0]
    ours, ours_agreeing = divergence(calibrated("repqvit", "w4a4", 300).model, images)
    theirs, theirs_agreeing = divergence(calibrated(method, "w4a4", 300).model, images)
    assert theirs > 30 * ours
    assert (ours_agreeing > 0.97, theirs_agreeing < 0.5) == (True, True)
    slightly, _ = divergence(calibrated(method, "w4a4", 33).model, images)
    assert theirs > slightly > 10 * ours


@pytest.mark.slow
def test_what_was_stopped_goes_on_to_the_same_tensors(calibrated, teachers, folder):
    """Killed in the middle: quantizers of the units behind are still the method's own, those before are changed ones."""
    whole = checkpoint.read(folder / "repqvit_w4a4_1")[0] if calibrated("repqvit", "w4a4") else {}
    out = folder / "stopped"

    class Killed(Exception):
        pass

    def kill(p):
        if p.share > 0.5:
            raise Killed

    with pytest.raises(Killed):
        ptq.calibrate("digits_deit_w4a4", method="repqvit", out=out, teacher=teachers[1], progress=kill)
    ptq.calibrate("digits_deit_w4a4", method="repqvit", out=out, teacher=teachers[1], resume=True)
    again = checkpoint.read(out)[0]
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.slow
def test_a_swin_is_no_exception(monkeypatch, tmp_path):
    """Windows, shifts and mergings between norms and layers: random weights, so that integers are all there is to say."""
    sizes = {"img_size": 32, "window_size": 2, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16, "num_classes": 5}
    swin = Model("tiny_swin", "swin_tiny_patch4_window7_224", "Swin", (3, 32, 32), 5, tuple(sizes.items()))
    monkeypatch.setitem(known._MODELS, swin.name, swin)
    images, labels = torch.randn(16, 3, 32, 32), torch.zeros(16, dtype=torch.int64)
    monkeypatch.setattr(data, "batches", lambda *given: data.Batches(TensorDataset(images, labels), 16, 16))
    told = {}

    def keep(self, unit):
        _channelwise(self, unit)
        told.update(dict(unit.quantizers))

    _channelwise = Channelwise.run
    monkeypatch.setattr(Channelwise, "run", keep)
    out = tmp_path / "out"
    outcome = ptq.calibrate("tiny_swin_w4a4", method="repqvit", images=16, out=out, teacher="random")
    blocks = ("layers.0.blocks.0", "layers.1.blocks.0", "layers.1.blocks.1")
    layers = {f"{block}.{layer}" for block in blocks for layer in ("attn.qkv", "mlp.fc1")}
    behind = {f"{layer}.input_quantizer" for layer in (*layers, "layers.1.downsample.reduction", "head.fc")}
    assert {path for path, quantizer in told.items() if quantizer.axis is not None} == behind
    assert all(outcome.model.get_submodule(path).axis is None for path in behind)
    report = verify(outcome.model, trace(outcome.model, images[:2], "swin"), images, labels)
    assert report.mismatched("node_by_node") == report.mismatched("free_running") == 0
    assert report.compared("free_running") > 10**5
