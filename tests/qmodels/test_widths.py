"""Widths of layers: what a plan gives to a model, what a quantized model has, and what is refused."""

import dataclasses

import pytest
import torch

from hwsim.accel.layer_bits import LayerBits
from hwsim.cost.work import work
from hwsim.errors import HwsimError
from qmodels import models, widths
from qmodels.calibrate import calibrate
from qmodels.layers.irm import Irm
from qmodels.methods.lsq import LSQ
from qmodels.tracing import trace
from workloads.bits import Bits

BITS = Bits(6, 5)
PLAN = {"blocks.*.mlp.*": (4, 3), "blocks.1.mlp.fc1": (9, 10), "blocks.0.attn.qk": (8, 2), "head": (4, 4)}


def quantized(plan=PLAN, method="lsq", bits=BITS, **changes):
    model = models.quantize(models.create("digits_deit", depth=2, **changes), bits, method, layer_bits=plan)
    return calibrate(model, torch.randn(3, 1, 32, 32))


def test_a_plan_is_what_a_model_gets():
    model = quantized()
    found = widths.of(model)
    assert found == widths.planned(models.create("digits_deit", depth=2), BITS, LSQ, PLAN)
    assert found == {
        "patch_embed.proj": (8, 8),
        "blocks.0.attn.qkv": (5, 6),
        "blocks.0.attn.qk": (8, 2),
        "blocks.0.attn.av": (5, 5),
        "blocks.0.attn.proj": (5, 6),
        "blocks.0.mlp.fc1": (4, 3),
        "blocks.0.mlp.fc2": (4, 3),
        "blocks.1.attn.qkv": (5, 6),
        "blocks.1.attn.qk": (5, 5),
        "blocks.1.attn.av": (5, 5),
        "blocks.1.attn.proj": (5, 6),
        "blocks.1.mlp.fc1": (9, 10),
        "blocks.1.mlp.fc2": (4, 3),
        "head": (4, 4),
    }
    qk, fc1 = model.blocks[0].attn.qk, model.blocks[1].mlp.fc1
    assert (qk.a_quantizer.bits, qk.b_quantizer.bits) == (8, 2)
    assert (fc1.input_quantizer.bits, fc1.weight_quantizer.bits) == (9, 10)


def test_a_graph_has_the_widths_of_its_model():
    model = quantized()
    graph = trace(model, torch.zeros(2, 1, 32, 32))
    nodes = {node.name: node for node in graph.nodes}
    for name, (a, b) in widths.of(model).items():
        assert tuple(graph.specs[operand].bits for operand in nodes[name].inputs) == (a, b), name


def test_without_a_plan_they_are_uniform():
    model = models.create("digits_deit", depth=2)
    assert widths.planned(model, BITS, LSQ) == widths.uniform(model, BITS, LSQ)
    plain = quantized(None)
    assert widths.of(plain) == widths.uniform(plain, BITS, LSQ) == widths.uniform(model, BITS, LSQ)
    assert widths.departing(plain, BITS, LSQ) == {}
    mixed = quantized()
    assert widths.departing(mixed, BITS, LSQ) == widths.of(mixed)
    assert widths.uniform(mixed, BITS, LSQ) == widths.uniform(model, BITS, LSQ)


def test_a_bits_file_is_a_plan(tmp_path):
    LayerBits.of({"*": (8, 8), "blocks.?.mlp.*": (4, 2)}).write(tmp_path / "bits.json")
    plan = dict(LayerBits.read(tmp_path / "bits.json").widths)
    found = widths.of(quantized(plan))
    assert {found[name] for name in found if ".mlp." in name} == {(4, 2)}
    assert {found[name] for name in found if ".mlp." not in name} == {(8, 8)}


def test_a_method_with_a_width_of_its_own_for_the_softmax_keeps_it():
    method = dataclasses.replace(LSQ, softmax_bits=4)
    found = widths.of(quantized({"blocks.0.attn.*": (8, 8), "blocks.1.*": (32, 32)}, method))
    assert found["blocks.0.attn.av"] == (4, 8)
    assert found["blocks.0.attn.qk"] == (8, 8)
    assert found["blocks.1.attn.av"] == (32, 32)
    plain = quantized(None, method)
    assert widths.of(plain)["blocks.0.attn.av"] == (4, 5)
    assert widths.departing(plain, BITS, method) == {}


def test_an_attention_left_float_needs_no_rectification():
    model = quantized({"blocks.0.attn.qk": (32, 32)}, "qvit")
    assert not isinstance(model.blocks[0].attn.q_norm, Irm)
    assert isinstance(model.blocks[1].attn.q_norm, Irm)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"*": (11, 4)}, "layer_bits: * must have (a_bits, w_bits), each 1..10 or 32, got (11, 4); write (8, 4)"),
        ({"head": (4,)}, "layer_bits: head must have (a_bits, w_bits), each 1..10 or 32, got (4,); write (8, 4)"),
        (
            {"blocks.0.mlp.fc3": (4, 4)},
            "layer_bits: each name must match a product of the model, got 'blocks.0.mlp.fc3'; the nearest are "
            "blocks.0.mlp.fc1, blocks.0.mlp.fc2, blocks.1.mlp.fc1",
        ),
    ],
)
def test_what_is_no_plan_is_refused(plan, message):
    with pytest.raises(HwsimError) as caught:
        quantized(plan)
    assert str(caught.value) == message


SWIN = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}


@pytest.mark.parametrize(
    ("name", "size", "changes"), [("swin_tiny_patch4_window7_224", 56, SWIN), ("resnet18", 32, {})]
)
def test_other_models_are_listed_as_their_graphs_are(name, size, changes):
    """Against the graph: the products that the tracer meets."""
    model = models.create(name, **changes)
    listed = widths.uniform(model, Bits(4, 3), LSQ)
    model = models.quantize(model, Bits(4, 3), LSQ, initialise=False).to("meta")
    rows = work(trace(model, torch.zeros(2, 3, size, size)))
    assert listed == {row.node: (row.gemm.a_bits, row.gemm.b_bits) for row in rows if row.gemm is not None}
    assert widths.of(model) == listed
