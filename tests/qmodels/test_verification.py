"""verify finds what differs, where it differs first, and nothing where nothing does."""

import dataclasses

import numpy as np
import pytest
import torch

from hwsim import graph as graphs
from hwsim.errors import IllegalModel
from hwsim.ops.quantize import Quantize
from qmodels import builder, data
from qmodels.tracing import trace
from qmodels.verification import verify


@pytest.fixture(scope="module")
def model():
    return builder.build("digits_w4a4")


@pytest.fixture(scope="module")
def graph(model):
    return trace(model, torch.zeros(2, 1, 32, 32), "digits_w4a4")


@pytest.fixture(scope="module")
def digits():
    images, labels = data.digits("test")
    return images[:48], labels[:48]


def test_nothing_differs_in_float64(model, graph, digits):
    report = verify(model, graph, *digits)
    assert report.images == 48
    assert report.compared("node_by_node") == report.compared("free_running") > 10**6
    assert report.mismatched("node_by_node") == report.mismatched("free_running") == 0
    assert report.first_diverging("free_running") == ""
    assert report.agreeing == 48
    assert report.correct_integer == report.correct_reference
    quantizers = [node.name for node in graph.nodes if isinstance(node.op, Quantize)]
    assert [node.node for node in report.modes["free_running"]] == quantizers


def test_float32_is_compared_too(model, graph, digits):
    report = verify(model, graph, *digits, dtype=torch.float32)
    assert report.dtype == "float32"
    assert report.mismatched("node_by_node") < report.compared("node_by_node") / 1000


def _changed(graph, constants):
    """The graph with some constants' arrays replaced."""
    arrays = {name: (constants.get(name, array), graph.specs[name]) for name, array in graph.constants.items()}
    inputs = {name: graph.specs[name] for name in graph.inputs}
    return graphs.build(graph.name, inputs, arrays, graph.nodes, graph.outputs)


def test_one_wrong_weight_is_found_at_the_next_quantizer_and_counted_once_node_by_node(model, graph, digits):
    name = "blocks.2.mlp.fc1.weight"
    weight = graph.constants[name].copy()
    row = int(np.abs(graph.constants["blocks.2.mlp.fc2.weight"].astype(int)).sum(axis=0).argmax())
    weight[row] = -weight[row] - 1
    report = verify(model, _changed(graph, {name: weight}), *digits)
    for mode in ("node_by_node", "free_running"):
        assert report.first_diverging(mode) == "blocks.2.mlp.fc2.input"
    differing = [node.node for node in report.modes["node_by_node"] if node.mismatched]
    assert differing == ["blocks.2.mlp.fc2.input"]
    assert any(node.node.startswith("blocks.3") and node.mismatched for node in report.modes["free_running"])
    assert report.modes["free_running"] != report.modes["node_by_node"]


def test_a_wrong_zero_point_shows_the_largest_step(model, graph, digits):
    nodes = []
    for node in graph.nodes:
        if node.name == "blocks.0.mlp.fc2.input":
            spec = node.op.spec
            shifted = dataclasses.replace(spec, zero_point=(spec.zero_point[0] + 2,))
            node = dataclasses.replace(node, op=Quantize(shifted))
        nodes.append(node)
    constants = {name: (array, graph.specs[name]) for name, array in graph.constants.items()}
    wrong = graphs.build("wrong", {"input": graph.specs["input"]}, constants, nodes, graph.outputs)
    report = verify(model, wrong, *digits)
    assert report.first_diverging("node_by_node") == "blocks.0.mlp.fc2.input"
    largest = {node.node: node.largest for node in report.modes["node_by_node"]}
    assert largest["blocks.0.mlp.fc2.input"] == 2


def test_a_graph_of_another_model_is_refused(model, digits):
    other = trace(builder.build("digits_deit_w32a32"), torch.zeros(2, 1, 32, 32), "float")
    with pytest.raises(
        IllegalModel, match="every quantizer must be a node of the graph, got none; trace this very model"
    ):
        verify(model, other, *digits)
