"""Whole integer graphs against docs/semantics.md: the code of every node of the simulator is that of the restatement.

The restatement runs free, on its own values from the images on, so that one wrong code anywhere is seen.
"""

import ast
import functools
import inspect
from dataclasses import replace

import numpy as np
import pytest
import restatement
import torch

import workloads
from hwsim import catalog
from hwsim.graph import Node, build
from hwsim.grids.log2 import log2
from hwsim.lower import integerize, recipe
from hwsim.lower.ranges import measure
from hwsim.ops.add import Add
from hwsim.ops.avgpool2d import AvgPool2d
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.encode import Encode
from hwsim.ops.gelu import Gelu
from hwsim.ops.ilayernorm import ILayerNorm
from hwsim.ops.matmul import MatMul
from hwsim.ops.maxpool2d import MaxPool2d
from hwsim.ops.mean import Mean
from hwsim.ops.pad import Pad
from hwsim.ops.relu import Relu
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.roll import Roll
from hwsim.ops.slice import Slice
from hwsim.ops.transpose import Transpose
from hwsim.simulator import as_codes, simulate
from hwsim.spec import BipolarSpec, QuantSpec, ShiftSpec, TensorSpec
from qmodels import builder, data, evidence, models
from qmodels.calibrate import calibrate
from qmodels.tracing import INPUT, trace
from workloads.bits import Bits

ISLANDS = {
    *(
        "clip",
        "dequantize",
        "div",
        "gelu",
        "gelutanh",
        "groupnorm",
        "layernorm",
        "mul",
        "quantize",
        "reducel2",
        "rmsnorm",
    ),
    *("sigmoid", "silu", "softmax", "sub"),
}
"""Operators that no integer graph has."""

WIDE = {"residual_bits": 24, "link_bits": 24, "gelu_bits": 24, "softmax_bits": 24}
ODD = {
    "ivit": {"rounding": "double_round", "score_bits": 16, **WIDE},
    "ibert": {"rounding": "half_up", **WIDE},
    "fqvit": {"rounding": "floor", "residual_bits": 24, "softmax_bits": 3, "multiplier_bits": 5},
}


def need_equal(graph, feeds):
    """Fails with the nodes, in order, whose codes differ; the number of codes compared."""
    feeds = as_codes(graph, feeds)
    names = [node.name for node in graph.nodes]
    got, wanted = simulate(graph, feeds, names), restatement.execute(graph, feeds)
    assert all(got[name].shape == wanted[name].shape for name in names)
    different = {name: int((got[name] != wanted[name].astype(np.int64)).sum()) for name in names}
    assert {name: count for name, count in different.items() if count} == {}
    return sum(got[name].size for name in names)


def with_extremes(image):
    """A real image (1, C, H, W), and one of pixels of +-1e9, as far out of range as may be."""
    signs = np.random.default_rng(1).choice([-1e9, 1e9], image.shape)
    return np.concatenate([image, signs])


@functools.cache
def digits(name):
    """Mixed graph, ranges and two images of a trained model."""
    workload = workloads.find(name)
    graph = evidence.trace_model(builder.build(workload), workload)
    images = data.load(workload, "train", limit=16)[0].numpy().astype(np.float64)
    return graph, measure(graph, {INPUT: images}), with_extremes(images[:1])


@pytest.fixture(scope="module")
def swin():
    """Mixed graph, ranges and two images of a small Swin: shifted windows with masks, merging, a mean at the end."""
    torch.manual_seed(0)
    small = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    model = models.quantize(models.create("swin_tiny_patch4_window7_224", **small), Bits(4, 4), "qvit")
    images = torch.randn(4, 3, 56, 56)
    calibrate(model, images)
    graph, images = trace(model.eval(), images, "swin"), images.numpy().astype(np.float64)
    return graph, measure(graph, {INPUT: images}), with_extremes(images[:1])


@pytest.mark.parametrize(
    ("workload", "name"), [*(("digits_w4a4", name) for name in recipe.names()), ("digits_w8a8", "lut")]
)
def test_digits(workload, name):
    graph, ranges, images = digits(workload)
    assert need_equal(integerize(graph, name, ranges), {INPUT: images}) > 10**6


@pytest.mark.parametrize("name", ODD)
def test_digits_with_odd_widths_and_roundings(name):
    """The rounding of the recipe in the islands too, which `lower` leaves at half_even."""
    graph, ranges, images = digits("digits_w4a4")
    odd = recipe.find(name).changed(**ODD[name])
    integers = integerize(graph, odd, ranges)
    nodes = tuple(
        replace(node, op=replace(node.op, rounding=odd.rounding)) if hasattr(node.op, "rounding") else node
        for node in integers.nodes
    )
    assert need_equal(replace(integers, nodes=nodes), {INPUT: images}) > 10**6


@pytest.mark.parametrize("name", ["lut", "fqvit"])
def test_a_small_swin(swin, name):
    graph, ranges, images = swin
    integers = integerize(graph, name, ranges)
    assert {"Roll", "Mean"} <= {type(node.op).__name__ for node in integers.nodes}
    assert need_equal(integers, {INPUT: images}) > 10**5


def test_what_no_model_here_has():
    """Padding, groups and strides; encoders; codes with zero points per head; a strided slice, a mean that keeps axes."""
    pixels = QuantSpec(8, False, (0.01,), (90,))
    significands, shifts = (9, -7, 0, 3, 3, 1, 0, 1), (0, 2, 1, 1, 1, 4, 3, 5)  # values 7, -30, -2, 4, 4, 14, -2, 30
    heads = ShiftSpec(3, (0.02, 0.05), significands, shifts, (-16.0, 1.0, 5.5, 10.5, 22.0), 2, 1)
    signed = QuantSpec(4, True, (1.0, 0.25, 0.5, 2.0), (0, -3, 7, 1), 0)
    kernel = np.random.default_rng(0).integers(-8, 8, (4, 1, 3, 2)).astype(np.int8)
    x = TensorSpec((1, 2, 6, 6), pixels)
    nodes = [
        Node("conv", Conv2d((2, 1), (2, 1), 2), ("x", "kernel")),
        Node("per_head", Encode.lower(x, heads), ("x",)),
        Node("log2", Encode.lower(x, log2(4, 0.4)), ("x",)),
        Node("sign", Encode.lower(x, BipolarSpec((1.0,))), ("x",)),
        Node("shifts", MatMul(), ("per_head", "x")),
        Node("both", MatMul(), ("log2", "sign")),
        Node("rolled", Roll((4, -1), (2, 3)), ("both",)),
        Node("sliced", Slice(3, 1, 6, 2), ("rolled",)),
        Node("mean", Mean((2,), keep=True), ("sliced",)),
        Node("moved", Transpose((0, 2, 1, 3)), ("mean",)),
        Node("flat", Reshape((1, 6)), ("moved",)),
        Node("sum", Add(bits=5), ("flat", "flat")),
    ]
    constants = {"kernel": (kernel, TensorSpec(kernel.shape, signed, batched=False))}
    graph = build("odd", {"x": x}, constants, nodes, ["conv", "shifts", "sum"])
    codes = np.random.default_rng(2).integers(0, 256, (5, 2, 6, 6)).astype(np.uint8)
    assert need_equal(graph, {"x": codes}) > 2000


def test_pools_and_padding():
    """Windows beyond the edge, dilated ones; padding of either kind; a dilated kernel; zero points per channel."""
    channels = QuantSpec(8, False, (0.01, 0.02), (90, 7), 1)
    centred = QuantSpec(8, True, (0.01,))
    kernel = np.random.default_rng(0).integers(-8, 8, (3, 2, 2, 3)).astype(np.int8)
    nodes = [
        Node("positive", Relu(), ("x",)),
        Node("largest", MaxPool2d((3, 2), (2, 2), (1, 1), (2, 1), True), ("positive",)),
        Node("wider", Pad((0, 0, 1, 0), (0, 0, 0, 2)), ("largest",)),
        Node("lower", Pad((0, 0, 0, 3), (0, 0, 1, 0), True), ("wider",)),
        Node("summed", AvgPool2d((2, 3), (1, 2), (1, 1)), ("y",)),
        Node("conv", Conv2d((1, 2), (2, 0), 1, (2, 3)), ("y", "kernel")),
    ]
    constants = {"kernel": (kernel, TensorSpec(kernel.shape, QuantSpec(4, True, (0.1,)), batched=False))}
    inputs = {"x": TensorSpec((1, 2, 9, 7), channels), "y": TensorSpec((1, 2, 8, 9), centred)}
    graph = build("pools", inputs, constants, nodes, ["lower", "summed", "conv"])
    generator = np.random.default_rng(2)
    feeds = {
        "x": generator.integers(0, 256, (5, 2, 9, 7)).astype(np.uint8),
        "y": generator.integers(-128, 128, (5, 2, 8, 9)).astype(np.int8),
    }
    assert need_equal(graph, feeds) > 2000


@pytest.mark.parametrize("shift", [2, 32])
@pytest.mark.parametrize("rounding", ["half_even", "half_up", "double_round", "floor"])
def test_ties(rounding, shift):
    """Quarters of a code and what is next to them: models of wide multipliers hardly ever meet a tie."""
    grid, quarter = QuantSpec(10, True, (1.0,)), 1 << (shift - 2)
    offset = tuple(k * quarter + d for k in range(-6, 7) for d in (-1, 0, 1))
    x = TensorSpec((1, 3, len(offset)), grid)
    nodes = [
        Node("quarters", Requantize(grid, (quarter,), (shift,), rounding=rounding), ("x",)),
        Node("norm", ILayerNorm(grid, (0,) * len(offset), offset, shift, rounding=rounding), ("x",)),
    ]
    codes = np.random.default_rng(0).integers(-512, 512, (20, *x.shape[1:])).astype(np.int16)
    assert need_equal(build("ties", {"x": x}, {}, nodes, ["quarters", "norm"]), {"x": codes}) > 4000


def test_every_operator_of_the_integer_form_has_a_rule_and_none_is_borrowed():
    assert set(restatement.RULES) == set(catalog.names("hwsim.ops")) - ISLANDS
    tree = ast.walk(ast.parse(inspect.getsource(restatement)))
    assert [ast.unparse(node) for node in tree if isinstance(node, ast.Import | ast.ImportFrom)] == [
        "import math",
        "import numpy as np",
    ]


def test_an_operator_without_a_rule_is_an_error():
    graph = build("float", {"x": TensorSpec((1, 3))}, {}, [Node("act", Gelu(), ("x",))], ["act"])
    with pytest.raises(LookupError) as caught:
        restatement.execute(graph, {"x": np.zeros((1, 3))})
    assert str(caught.value) == "act: an operator needs a rule, got gelu; write one from docs/semantics.md"
