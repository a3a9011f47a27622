"""FQ-ViT: its integers, its own integer operators on its own codes, and what factors are worth."""

import math

import pytest

from hwsim.cost.units import extra_units
from hwsim.graph import op_name
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.ops.layernorm import LayerNorm
from hwsim.ops.logintsoftmax import LogIntSoftmax
from hwsim.ops.ptflayernorm import PtfLayerNorm
from hwsim.simulator import as_codes, simulate
from qmodels import checkpoint, data
from qmodels.method import changed, find
from qmodels.tracing import INPUT


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("fqvit", "w4a4"),
        pytest.param("fqvit", "w8a8", marks=pytest.mark.slow),
        pytest.param("fqvit_released", "w4a4", marks=pytest.mark.slow),
    ],
)
def test_its_integers_are_those_of_its_fake_quant_model(made, graph_of, kl, name, bits):
    outcome = made(name, bits)
    graph = graph_of(outcome)
    norms = [node for node in graph.nodes if isinstance(node.op, LayerNorm)]
    makers = {node.name: node for node in graph.nodes}
    for node in norms:  # each reads codes whose scales are powers of two apart, with one zero point
        quant = graph.specs[makers[node.inputs[0]].inputs[0]].quant
        assert (quant.bits, len(quant.scale)) == (int(bits[1]), 48)
        assert {math.frexp(scale / min(quant.scale))[0] for scale in quant.scale} == {0.5}
        assert max(quant.scale) <= 8 * min(quant.scale)
        assert len(set(quant.zero_point)) == 1
    assert len(norms) == 9
    maps = [graph.specs[f"blocks.{i}.attn.av.a"].quant for i in range(4)]
    assert {spec.bits for spec in maps} == {4}  # 8/8/4
    assert {unit.name for unit in extra_units(graph)} >= {"shifter", "channel scales"}
    assert kl(outcome.model) < (0.01 if bits == "w8a8" else 0.15)


@pytest.mark.parametrize("bits", [pytest.param("w8a8", marks=pytest.mark.slow), "w4a4"])
def test_its_own_recipe_executes_its_operators_on_its_codes(made, graph_of, bits):
    outcome = made("fqvit", bits)
    graph = graph_of(outcome)
    feeds = {INPUT: data.digits("train")[0][:64].numpy()}
    integers = integerize(graph, "fqvit", measure(graph, feeds))
    assert float_parts(integers) == ()
    nodes = {node.name: node for node in integers.nodes}
    norms = [node for node in nodes.values() if isinstance(node.op, PtfLayerNorm)]
    assert len(norms) == 9
    for node in norms:  # straight from the quantizer before it
        assert node.inputs[0].endswith((".input", "norm.input"))
        assert op_name(nodes[node.inputs[0]].op) == "requantize"
        assert integers.specs[node.inputs[0]].quant == graph.specs[node.inputs[0]].quant
    for i in range(4):  # the operator's codes are in the place of the quantizer's
        assert isinstance(nodes[f"blocks.{i}.attn.av.a"].op, LogIntSoftmax)
        assert integers.specs[f"blocks.{i}.attn.av.a"] == graph.specs[f"blocks.{i}.attn.av.a"]
    stream = integers.specs["blocks.0.add"].quant
    assert stream.axis == 2  # what adds up has the factors too
    images = {INPUT: data.digits("test")[0][:120].numpy()}
    ours = simulate(integers, as_codes(integers, images))[integers.outputs[0]].argmax(1)
    theirs = simulate(graph, images)[graph.outputs[0]].argmax(1)
    assert (ours == theirs).mean() > 0.95


def test_factors_beat_a_scale_per_tensor(made, kl):
    tensor = kl(made("fqvit", "w4a4", changes={"factors.most": "0"}).model)
    assert tensor > 5 * kl(made("fqvit", "w4a4").model)


def test_the_width_of_the_attention_map_is_its_own(made):
    path = made.path("fqvit", "w4a4", changes={"softmax_bits": "3"})
    model, _ = checkpoint.load(path)
    assert {block.attn.av.a_quantizer.bits for block in model.blocks} == {3}
    assert {block.attn.av.b_quantizer.bits for block in model.blocks} == {4}
    with pytest.raises(Exception, match=r"fqvit: softmax_bits must be 0\.\.8, got 9; 0 is as wide as activations"):
        changed(find("fqvit"), {"softmax_bits": "9"})
