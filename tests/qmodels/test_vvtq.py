"""VVTQ as a method: what its presets put where, that each ingredient can be left out, and that what it trains is integers."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from hwsim.errors import HwsimError
from hwsim.graph import op_name
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.simulator import as_codes, simulate
from hwsim.spec import QuantSpec
from qmodels import builder, data, method, models, objectives
from qmodels.calibrate import calibrate
from qmodels.objectives.crops import Crops
from qmodels.objectives.objective import Step
from qmodels.quantizers.lsq_offset import LsqOffset
from qmodels.tracing import INPUT, trace
from qmodels.verification import verify
from workloads.bits import Bits

VVTQ = method.find("vvtq")


@pytest.fixture(scope="module")
def digits():
    return data.digits("train")


def _student(found, bits, images):
    """The digits model from the float teacher's weights, calibrated."""
    model = models.quantize(models.create("digits_deit"), bits, found)
    model.load_state_dict(builder.build("digits_float").state_dict(), strict=False)
    for module in model.modules():
        if hasattr(module, "weight_quantizer"):
            module.weight_quantizer.initialise(module.weight)
    return calibrate(model, images)


def _trained(found, bits, digits, steps=3):
    """A student after a few steps of the method's loss, answers of a teacher made up."""
    images, labels = digits[0][:16], digits[1][:16]
    model = _student(found, bits, images).train()
    said = 4 * F.one_hot(labels, 10).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for number in range(1, steps + 1):
        step = Step(model, model(images), labels, teacher_logits=said, progress=number / steps)
        loss = torch.stack([term.weight_at(step.progress) * term.value(step) for term in objectives.of(found)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_presets_are_whole_methods_that_name_their_deviations():
    for preset in ("deployable", "paper", "released"):
        found = method.find("vvtq", preset)
        assert (found.preset, found.deviations) == (preset, "methods/vvtq.md")
        assert (found.labels, found.distillation, found.crops, found.bins) == (0, 0, 4, 0.01)


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({}, ["crops", "bins"]),
        ({"bins": "0"}, ["crops"]),
        ({"crops": "0", "labels": "1"}, ["labels", "bins"]),
        ({"crops": "0", "bins": "0", "labels": "1", "distillation": "1"}, ["labels", "soft_labels"]),
    ],
)
def test_each_term_can_be_left_out(changes, terms):
    assert [term.name for term in objectives.of(method.changed(VVTQ, changes))] == terms


def test_crops_are_learned_by_soft_cross_entropy_with_the_stored_labels():
    logits, labels = torch.randn(6, 10), torch.rand(6, 10).softmax(1)
    value = Crops(1.0).value(Step(None, logits, torch.zeros(6), teacher_logits=labels.log()))
    assert torch.allclose(value, F.cross_entropy(logits, labels))  # torch's own, with shares of classes
    with pytest.raises(HwsimError, match=r"^crops: each crop must have the stored answer of a teacher, got none; make"):
        Crops(1.0).value(Step(None, logits, torch.zeros(6)))


def test_scales_are_of_modules():
    model = models.quantize(models.create("digits_deit"), Bits(3, 3), VVTQ)
    sizes = {
        name: m.weight_quantizer.scale.numel() for name, m in model.named_modules() if hasattr(m, "weight_quantizer")
    }
    assert {size for name, size in sizes.items() if name.endswith("qkv")} == {3}
    assert {size for name, size in sizes.items() if not name.endswith("qkv")} == {1}
    assert all(m.scale_gradient == "module" for m in model.modules() if hasattr(m, "scale_gradient"))
    offsets = [name for name, m in model.named_modules() if isinstance(m, LsqOffset)]
    assert offsets == [f"blocks.{i}.mlp.fc2.input_quantizer" for i in range(len(model.blocks))]
    assert all(m.qmin == 0 for m in model.modules() if isinstance(m, LsqOffset))


@pytest.mark.parametrize(
    ("preset", "bits"),
    [("deployable", Bits(2, 2)), ("released", Bits(4, 4)), ("paper", Bits(1, 3)), ("released", Bits(8, 8))],
)
def test_what_it_trains_makes_the_codes_of_its_fake_quant_model(preset, bits, digits):
    model = _trained(method.find("vvtq", preset), bits, digits)
    offsets = [m.offset for m in model.modules() if isinstance(m, LsqOffset)]
    assert all(offset.item() for offset in offsets)
    graph = trace(model, digits[0][:2], "vvtq")
    images, labels = data.digits("test")
    report = verify(model, graph, images[:12], labels[:12])
    for mode in ("node_by_node", "free_running"):
        assert report.mismatched(mode) == 0, report.first_diverging(mode)
        assert report.compared(mode) > 10**6
    assert report.agreeing == 12
    for node in graph.nodes:
        if op_name(node.op) in ("linear", "matmul", "conv2d"):
            assert all(graph.specs[operand].quant is not None for operand in node.inputs), node.name


def test_the_offset_is_a_sum_of_weights_in_the_bias_of_the_graph(digits):
    model = _trained(VVTQ, Bits(4, 4), digits)
    graph = trace(model, digits[0][:2], "vvtq")
    fc2 = model.double().blocks[0].mlp.fc2
    codes, spec = graph.constants["blocks.0.mlp.fc2.weight"], graph.specs["blocks.0.mlp.fc2.weight"].quant
    assert isinstance(spec, QuantSpec)
    sums = codes.astype(int).sum(1) * spec.scale[0]  # by the integers, not by the fake-quant weights
    expected = fc2.bias.detach().numpy() + fc2.input_quantizer.offset.item() * sums
    got = graph.constants["blocks.0.mlp.fc2.bias.value"]
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_it_has_an_integer_form(digits):
    model = _trained(VVTQ, Bits(4, 4), digits)
    graph = trace(model, digits[0][:2], "vvtq")
    feeds = {INPUT: digits[0][:32].numpy()}
    integers = integerize(graph, "lut", measure(graph, feeds))
    assert float_parts(integers) == ()
    ours = simulate(integers, as_codes(integers, feeds))[integers.outputs[0]].argmax(1)
    with torch.no_grad():
        theirs = model.double()(digits[0][:32].double()).argmax(1).numpy()
    assert (ours == theirs).mean() > 0.8


def test_scales_of_weights_can_be_switched_back(digits):
    plain = dataclasses.replace(VVTQ, weights_per_tensor=False, scale_gradient="lsq")
    model = models.quantize(models.create("digits_deit"), Bits(2, 2), plain)
    assert model.blocks[0].attn.qkv.weight_quantizer.scale.numel() == model.blocks[0].attn.qkv.out_features
    assert model.blocks[0].attn.qkv.weight_quantizer.scale_gradient == "lsq"
