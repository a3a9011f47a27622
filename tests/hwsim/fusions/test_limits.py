"""Graphs that look like what a fusion joins, and are not, or not for every chunk."""

import numpy as np
import pytest

from hwsim.errors import HwsimError
from hwsim.graph import Node, build
from hwsim.ops.add import Add
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.mean import Mean
from hwsim.ops.transpose import Transpose
from hwsim.plan import plan
from hwsim.simulator import run_node, simulate
from hwsim.spec import QuantSpec, TensorSpec

CODES, WEIGHTS = QuantSpec(4, False, (0.5,)), QuantSpec(4, True, (0.5,))


def one_by_one(graph, node, values):
    return run_node(graph, node, values)


def linear(tokens, columns, scales):
    generator = np.random.default_rng(3)
    x = QuantSpec(4, False, scales, (0,) * len(scales), 1 if len(scales) > 1 else None)
    weight = generator.integers(-8, 8, (columns, 4)).astype(np.int8)
    constants = {
        "w": (weight, TensorSpec(weight.shape, WEIGHTS, batched=False)),
        "b": (generator.normal(size=columns), TensorSpec((columns,), None, batched=False)),
    }
    nodes = [Node("acc", Linear(), ("x", "w")), Node("real", Dequantize(), ("acc",)), Node("y", Add(), ("real", "b"))]
    graph = build("linear", {"x": TensorSpec((1, tokens, 4), x)}, constants, nodes, ["y"])
    return graph, generator.integers(0, 16, (3, tokens, 4)).astype(np.uint8)


@pytest.mark.parametrize(("tokens", "columns"), [(3, 5), (5, 5)])
def test_scales_of_tokens_are_not_those_of_columns(tokens, columns):
    graph, codes = linear(tokens, columns, tuple(float(i + 1) for i in range(tokens)))
    assert [step.name for step in plan(graph).steps] == ["acc", "real", "y"]
    ours, theirs = (simulate(graph, {"x": codes}, **options)["y"] for options in ({}, {"execute": one_by_one}))
    np.testing.assert_array_equal(ours, theirs)
    assert len(plan(linear(tokens, columns, (1.0,))[0]).steps) == 1


@pytest.mark.parametrize("tier", ["portable", "oracle", ""])
def test_a_constant_of_a_matmul_serves_chunks_of_any_size(tier, monkeypatch):
    monkeypatch.setenv("HWSIM_KERNELS", tier)
    constant = np.arange(40, dtype=np.int8).reshape(1, 2, 4, 5) % 8
    graph = build(
        "matmul",
        {"x": TensorSpec((1, 2, 3, 4), CODES)},
        {"w": (constant, TensorSpec(constant.shape, WEIGHTS, batched=False))},
        [Node("acc", MatMul(), ("x", "w"))],
        ["acc"],
    )
    codes = np.random.default_rng(0).integers(0, 16, (7, 2, 3, 4)).astype(np.uint8)
    for chunk in (4, 1, 3):
        found = simulate(graph, {"x": codes}, chunk=chunk, threads=1)["acc"]
        np.testing.assert_array_equal(found, np.matmul(codes.astype(int), constant))


def test_a_replacement_must_be_of_the_grid():
    graph, codes = linear(3, 5, (1.0,))
    with pytest.raises(
        HwsimError, match=r"^acc: codes must be integers in -512\.\.511, got int32 7\.\.9999; quantize them$"
    ):
        simulate(graph, {"x": codes}, replace={"acc": np.array([7] * 44 + [9999], np.int32).reshape(3, 3, 5)})
    wide = np.arange(45, dtype=np.int64).reshape(3, 3, 5)
    found = simulate(graph, {"x": codes}, keep=["acc"], replace={"acc": wide})["y"]
    np.testing.assert_array_equal(found, wide * 0.5 * 1.0 + graph.constants["b"])


@pytest.mark.parametrize("images", [1, 3])
def test_threads_do_not_change_a_bit_of_a_float_layer(images):
    """BLAS sums a row by columns in another order, where it has more threads."""
    generator = np.random.default_rng(1)
    weight = generator.normal(size=(1000, 768))
    graph = build(
        "head",
        {"x": TensorSpec((1, 768), None)},
        {"w": (weight, TensorSpec(weight.shape, None, batched=False))},
        [Node("y", Linear(), ("x", "w"))],
        ["y"],
    )
    x = generator.normal(size=(images, 768))
    first = simulate(graph, {"x": x}, threads=1)["y"]
    for threads in (2, 4, 8):
        np.testing.assert_array_equal(simulate(graph, {"x": x}, threads=threads)["y"], first)


@pytest.mark.parametrize("first", [True, False])
def test_a_mean_does_not_depend_on_how_its_floats_lie(first):
    """The joined residual stream lies in C order, that of `add` alone like its first operand."""
    generator = np.random.default_rng(0)
    weight = generator.integers(-8, 8, (32, 16)).astype(np.int8)
    nodes = [
        Node("y", Transpose((0, 2, 1)), ("z",)),
        Node("acc", Linear(), ("x", "w")),
        Node("real", Dequantize(), ("acc",)),
        Node("a", Add(), ("real", "b")),
        Node("s", Add(), ("y", "a") if first else ("a", "y")),
        Node("mean", Mean((1,)), ("s",)),
    ]
    constants = {
        "w": (weight, TensorSpec(weight.shape, WEIGHTS, batched=False)),
        "b": (generator.normal(size=32), TensorSpec((32,), None, batched=False)),
    }
    inputs = {"x": TensorSpec((1, 49, 16), CODES), "z": TensorSpec((1, 32, 49), None)}
    graph = build("pooled", inputs, constants, nodes, ["mean"])
    feeds = {"x": generator.integers(0, 16, (3, 49, 16)).astype(np.uint8), "z": generator.normal(size=(3, 32, 49))}
    wanted = simulate(graph, feeds, execute=one_by_one)["mean"]
    for keep in ((), ("a",), ("s",)):
        np.testing.assert_array_equal(simulate(graph, feeds, keep)["mean"], wanted)
