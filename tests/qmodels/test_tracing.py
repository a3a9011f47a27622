"""A traced graph is the model: same codes, same outputs, readable names; what has no integer form is refused by name."""

import copy
import re

import networkx as nx
import numpy as np
import pytest
import torch
from torch import nn

import workloads
from hwsim import catalog
from hwsim.cost.work import work
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
from qmodels.quantizers.lsq import Lsq
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
        pytest.param("deit_tiny_distilled_patch16_224_w2a2", marks=pytest.mark.slow),
        pytest.param("vit_tiny_patch16_224_w8a8", marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224_w4a4", marks=pytest.mark.slow),
        pytest.param("deit_tiny_patch16_224_w1a1", marks=pytest.mark.slow),
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
    with pytest.raises(IllegalModel) as caught:
        trace(nn.Sequential(_Like()), torch.zeros(2, 509, 4), "like")
    assert str(caught.value) == (
        "0.gelu: 509 marks the batch, so that no other axis may be a multiple of it, got (509, 4); choose another size"
    )


class _Plain(nn.Module):
    """A function as a module, with a quantizer and constants."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.row, self.rows = nn.Parameter(torch.randn(1, 7)), nn.Parameter(torch.randn(2, 7))
        self.quantizer = Lsq(4, signed=True, axis=None, size=1, batched=True)

    def forward(self, x):
        return self.function(self, x)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda _, x: x / x.shape[0], "509"),
        (lambda _, x: x * (1 / x.shape[0]), "0.00196464"),
        (lambda _, x: x * x.shape[0] ** -0.5, "0.0443242"),
        (lambda _, x: x - 2 * x.shape[0], "1018"),
        (lambda m, x: x + m.row / x.shape[0], "509"),
    ],
)
def test_arithmetic_with_the_number_of_images_is_refused(function, got):
    with pytest.raises(IllegalModel) as caught:
        trace(_Plain(function), torch.zeros(2, 5, 7), "plain")
    assert str(caught.value) == (
        f"model: a value must not depend on how many images there are, got {got} of 509; leave the batch out of arithmetic"
    )


def test_other_numbers_are_those_of_the_model():
    numbers = (1e-12, 1e-6, 3**-0.5, 1 / 3, 0.044715, 64**-0.5, 100.0, 1e9, 510, 1 / 508)
    model, x = _Plain(lambda _, x: sum(x * number for number in numbers)), torch.randn(2, 5, 7).double()
    (got,) = simulate(trace(model, x, "plain"), {INPUT: x.numpy()}).values()
    np.testing.assert_allclose(got, model(x).numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda _, x: (x * 2)[::2], "a slice starts inside an axis behind the batch"),
        (lambda _, x: x[:, 0, 0].softmax(0), "softmax is over the last axis, behind the batch, got 0"),
        (lambda m, x: m.quantizer(x).permute(1, 0, 2).reshape(-1, 7) * 2, "the batch must stay the leading axis"),
        (lambda _, x: x - x.mean(), "model: aten.mean has a rule for other arguments, got missing a required argument"),
        (lambda _, x: torch.div(x, 2, rounding_mode="floor"), "model: aten.div has a rule for other arguments, got an"),
    ],
)
def test_what_would_mix_images_or_is_not_ruled_is_refused(function, message):
    with pytest.raises(IllegalModel, match=re.escape(message)):
        trace(_Plain(function), torch.zeros(2, 5, 7), "plain")


def test_a_constant_repeated_along_another_axis_is_that_constant():
    model = _Plain(lambda m, x: x + torch.cat((m.row.expand(3, 7), m.rows))).double()
    x = torch.randn(2, 5, 7).double()
    (got,) = simulate(trace(model, x, "plain"), {INPUT: x.numpy()}).values()
    assert np.array_equal(got, model(x).detach().numpy())


@pytest.mark.parametrize(
    ("norm", "held"),
    [
        (nn.LayerNorm(7), 14),
        (nn.LayerNorm(7, bias=False), 7),
        (nn.LayerNorm(7, elementwise_affine=False), 0),
        (nn.RMSNorm(7, elementwise_affine=False), 0),
        (nn.GroupNorm(5, 5, affine=False), 0),
    ],
)
def test_gains_and_shifts_that_a_norm_does_not_have_are_no_parameters(norm, held, tmp_path):
    graph = trace(nn.Sequential(norm), torch.zeros(2, 5, 7), "norm")
    assert [row.parameters for row in work(graph)] == [held, 0]
    path = tmp_path / "norm.safetensors"
    save(graph, path)
    assert [row.parameters for row in work(load(path))] == [held, 0]


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
