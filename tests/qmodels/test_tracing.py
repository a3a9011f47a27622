"""A traced graph is the model: same codes, same outputs, readable names; what has no integer form is refused by name."""

import copy

import networkx as nx
import numpy as np
import pytest
import torch
from torch import nn

import workloads
from hwsim import catalog
from hwsim.errors import IllegalModel
from hwsim.graph import op_name
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from hwsim.simulator import as_codes, simulate
from hwsim.store import load, save
from qmodels import builder
from qmodels.aten import RULES
from qmodels.quantizer import make
from qmodels.tracing import BATCH, INPUT, parameters, trace
from qmodels.verification import verify

PRODUCTS = ("linear", "matmul", "conv2d")


@pytest.fixture(scope="module")
def digits():
    return builder.build("digits_deit_w4a4")


@pytest.fixture
def images():
    return torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "name",
    [
        "deit_tiny_patch16_224_w4a4",
        "deit_tiny_distilled_patch16_224_w2a2",
        "vit_tiny_patch16_224_w8a8",
        "swin_tiny_patch4_window7_224_w4a4",
        "deit_tiny_patch16_224_w1a1",
    ],
)
def test_published_models_make_the_codes_of_their_fake_quant_model(name, tmp_path):
    workload = workloads.find(name)
    model = builder.build(workload)
    graph = trace(model, torch.zeros(2, *workload.model.image), name)
    pictures = torch.randn(2, *workload.model.image, generator=torch.Generator().manual_seed(2))
    report = verify(model, graph, pictures, torch.zeros(2, dtype=torch.int64))
    for mode in ("node_by_node", "free_running"):
        assert report.mismatched(mode) == 0, report.first_diverging(mode)
        assert report.compared(mode) > 10**6
    assert report.agreeing == 2
    for node in graph.nodes:  # every product is an integer one
        if op_name(node.op) in PRODUCTS:
            assert all(graph.specs[operand].quant is not None for operand in node.inputs), node.name
    save(graph, tmp_path / "graph.safetensors")
    assert str(load(tmp_path / "graph.safetensors")) == str(graph)
    feeds = {INPUT: pictures.numpy()}
    ranges = measure(graph, feeds)
    for recipe in ("lut", "ivit", "p2vit"):
        integers = integerize(graph, recipe, ranges)
        assert float_parts(integers) == (), recipe
        logits = simulate(integers, as_codes(integers, feeds))[integers.outputs[0]]
        assert logits.shape == (2, 1000)
    assert nx.is_directed_acyclic_graph(graph.to_networkx())


@pytest.mark.parametrize("bits", ["w32a32", "w4a32", "w32a4", "w3a8"])
def test_outputs_equal_those_of_torch_in_float64(bits, images):
    model = builder.build(f"digits_deit_{bits}")
    graph = trace(model, images, bits)
    with torch.no_grad():
        expected = copy.deepcopy(model).double()(images.double()).numpy()
    logits = simulate(graph, {INPUT: images.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-11)


def test_names_are_module_paths(digits):
    graph = trace(digits, torch.zeros(2, 1, 32, 32), "digits")
    names = {node.name for node in graph.nodes}
    block = "blocks.2.attn"
    assert {
        f"{block}.qkv",
        f"{block}.qkv.input",
        f"{block}.qkv.bias",
        f"{block}.qk",
        f"{block}.qk.a",
        f"{block}.av",
    } <= names
    assert {"patch_embed.proj", "blocks.2.norm1", f"{block}.q_norm", "blocks.2.mlp.fc2", "norm", "head"} <= names
    assert f"{block}.qkv.weight" in graph.constants


def test_tracing_leaves_the_model_as_it_was(digits, images):
    before = copy.deepcopy(digits.state_dict())
    trace(digits, images, "digits")
    assert not digits.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in digits.state_dict().items())
    assert next(digits.parameters()).dtype == torch.float32


def test_parameters_are_those_of_the_model_without_its_quantizers():
    floats = builder.build("digits_deit_w32a32")
    assert parameters(floats) == sum(p.numel() for p in floats.parameters())
    irm = 4 * 2 * 2 * 16  # layers, q and k, weight and bias, head dimension
    assert parameters(builder.build("digits_deit_w4a4")) == parameters(floats) + irm


@pytest.mark.parametrize("axis", [2, -1])
def test_a_scale_along_the_reduction_axis_is_refused_with_the_node_and_the_remedy(axis, digits, images):
    model = copy.deepcopy(digits)
    per_input_channel = make("lsq", 4, signed=True, axis=axis, size=48)  # as in the released Q-ViT code
    per_input_channel.initialise(torch.randn(2, 65, 48))
    model.blocks[1].mlp.fc1.input_quantizer = per_input_channel
    wanted = (
        r"^blocks\.1\.mlp\.fc1: a scale along the reduction axis cannot be factored out .* per_channel\(axis=2, n=48\)"
    )
    with pytest.raises(IllegalModel, match=wanted + ".*; use a per-tensor scale"):
        trace(model, images, "illegal")


def test_an_operator_without_a_rule_is_refused_with_its_module(digits, images):
    model = copy.deepcopy(digits)
    model.blocks[3].mlp.act = nn.Tanh()
    with pytest.raises(
        IllegalModel, match=r"^blocks\.3\.mlp\.act: every operator needs a rule, got aten\.tanh in .*Tanh"
    ):
        trace(model, images, "tanh")


def test_the_tanh_gelu_is_an_operator_of_its_own(digits, images):
    model = copy.deepcopy(digits)
    model.blocks[0].mlp.act = nn.GELU(approximate="tanh")
    graph = trace(model, images, "gelu")
    kinds = {node.name: op_name(node.op) for node in graph.nodes}
    assert kinds["blocks.0.mlp.act.gelu"] == "gelutanh"
    assert kinds["blocks.1.mlp.act.gelu"] == "gelu"


class _Mixer(nn.Module):
    """Puts the batch on another axis and leaves it there."""

    def forward(self, x):
        return x.flatten(1).transpose(0, 1) * 2.0


def test_a_batch_that_leaves_the_front_is_refused(images):
    with pytest.raises(IllegalModel, match="the batch must stay the leading axis"):
        trace(_Mixer(), images, "mixer")


class _Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_model_that_cannot_be_captured_is_refused_in_one_line(images):
    with pytest.raises(IllegalModel, match=r"^_Branching: torch\.export must be able to capture it on images"):
        trace(_Branching(), images, "branching")


class _Like(nn.Module):
    """Has an axis that could be taken for the batch."""

    def forward(self, x):
        return nn.functional.gelu(x).transpose(1, 2)


def test_an_axis_as_long_as_the_batch_is_refused():
    assert BATCH == 509
    with pytest.raises(IllegalModel, match=r"^0\.gelu: the batch must stay the leading axis, got it at \[0, 1\] of 3"):
        trace(nn.Sequential(_Like()), torch.zeros(2, 509, 4), "like")


class _Twice(nn.Module):
    def forward(self, x):
        return nn.functional.gelu(x.permute(2, 0, 1).permute(1, 0, 2).permute(0, 2, 1))


class _First(nn.Module):
    def forward(self, x):
        return nn.functional.gelu(x[:1])


@pytest.mark.parametrize(
    ("network", "message"),
    [(_Twice(), "the batch must stay the leading axis"), (_First(), "a slice starts inside an axis behind the batch")],
)
def test_the_batch_is_neither_permuted_twice_nor_cut(network, message):
    with pytest.raises(IllegalModel, match=message):
        trace(network, torch.zeros(2, 3, 5), "batch")


def test_rules_are_those_that_the_operators_name():
    named = {name for key in catalog.names("hwsim.ops") for name in catalog.find("hwsim.ops", key).torch}
    without_arithmetic = {
        *("aten.alias", "aten.batch_norm", "aten.clone", "aten.contiguous", "aten.dropout"),
        *("aten.expand", "aten.expand_as", "aten.to", "aten.type_as"),
    }
    assert set(RULES) - without_arithmetic == named
