"""verify finds what differs, where it differs first, and nothing where nothing does."""

import dataclasses
import gc
import math
import tracemalloc

import numpy as np
import pytest
import torch

import hwsim
import workloads
from hwsim import graph as graphs
from hwsim.errors import HwsimError, IllegalModel
from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.ops.quantize import Quantize
from hwsim.study.accumulators import Range
from qmodels import builder, data
from qmodels.tracing import trace
from qmodels.verification import verify
from qmodels.what_if import Arithmetic, WhatIf


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


class Counted(torch.utils.data.Dataset):
    """Digits that count how many of them were asked for."""

    def __init__(self, images, labels):
        self.images, self.labels, self.asked = images, labels, 0

    def __getitem__(self, index):
        self.asked += 1
        return self.images[index], self.labels[index]


def test_images_are_read_batch_by_batch_and_not_kept(model, graph, digits):
    dataset = Counted(*digits)
    batches = data.Batches(dataset, 48, 20)
    asked, sizes, told = [], [], []

    def other(images):
        asked.append(dataset.asked)
        sizes.append(len(images))
        return np.zeros((len(images), 10))

    report = verify(model, graph, batches, others={"zeros": other}, progress=lambda *done: told.append(done))
    assert (asked, sizes) == ([20, 40, 48], [20, 20, 8])
    assert told == [(20, 48), (40, 48), (48, 48)]
    assert report.predictions["zeros"].correct == (digits[1] == 0).sum()
    whole = verify(model, graph, *digits)
    assert whole.modes == report.modes
    assert whole.accumulators == report.accumulators


class Swept(Counted):
    """Cyclic garbage is taken away at each image: what waits for the collector is not kept, and when it comes is chance."""

    def __getitem__(self, index):
        gc.collect()
        return super().__getitem__(index)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(model, graph, digits):
    def peak(images):
        endless = Swept(digits[0][:1].expand(images, -1, -1, -1), torch.zeros(images, dtype=torch.int64))
        tracemalloc.start()
        verify(model, graph, data.Batches(endless, images, 4), threads=1)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(4)  # what is kept from the first run on
    assert peak(32) < 1.1 * peak(8)


def test_no_images_are_refused(model, graph, digits):
    with pytest.raises(HwsimError) as caught:
        verify(model, graph, digits[0][:0])
    assert str(caught.value) == "digits_w4a4: images are needed to compare codes, got none; raise the limit"


def test_reals_and_saturation_are_of_all_images(model, graph, digits):
    """Against one simulation of all images at once, by NumPy."""
    node = "blocks.1.mlp.fc2.input"
    weight = np.roll(graph.constants["blocks.0.mlp.fc1.weight"], 1)
    wrong = _changed(graph, {"blocks.0.mlp.fc1.weight": weight})
    found = next(n for n in verify(model, wrong, *digits).reals if n.node == node)
    keep = [node, "blocks.1.mlp.act.gelu"]
    ours, theirs = (hwsim.simulate(g, {"input": digits[0].numpy()}, keep) for g in (wrong, graph))
    spec = graph.specs[node].quant
    a, b = (spec.to_real(values[node]).reshape(-1) for values in (ours, theirs))
    assert found.cosine == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), rel=1e-12)
    assert found.sqnr_db == pytest.approx(10 * np.log10((b @ b) / ((a - b) @ (a - b))), rel=1e-12)
    unclamped = np.rint(theirs["blocks.1.mlp.act.gelu"] / spec.scale[0]) + spec.zero_point[0]
    assert found.saturation == pytest.approx(((unclamped < spec.qmin) | (unclamped > spec.qmax)).mean(), rel=1e-12)


def test_predictions_and_accumulators(model, graph, digits):
    report = verify(model, graph, *digits)
    logits = hwsim.simulate(graph, {"input": digits[0].numpy()}, ["blocks.0.mlp.fc1"])
    ours = report.predictions["integer"]
    assert ours.correct == (logits[graph.outputs[0]].argmax(1) == digits[1].numpy()).sum()
    assert 0 <= ours.kl < 1e-12
    assert report.predictions["fake_quant"].agreement == 1
    assert all(math.isinf(n.sqnr_db) and n.cosine == 1 for n in report.reals)
    fc1 = next(n for n in report.accumulators if n.node == "blocks.0.mlp.fc1")
    sums = logits["blocks.0.mlp.fc1"]
    assert fc1.seen == Range(sums.min(), sums.max())
    assert fc1.seen.bits <= fc1.weights_bits <= fc1.codes_bits == graph.specs["blocks.0.mlp.fc1"].quant.bits


def test_a_what_if_runs_free_beside_the_graph_as_it_is(model, graph, digits):
    arithmetic = Arithmetic(graph, WhatIf(10, flips=("blocks.*.mlp.fc1:msb:1e-3",)))
    report = verify(model, graph, *digits, execute=arithmetic)
    assert list(report.modes) == ["free_running"]
    assert report.divergence is None
    assert report.mismatched("free_running") > 0
    assert report.predictions["exact"] == verify(model, graph, *digits).predictions["integer"]
    assert report.predictions["integer"].correct < report.predictions["exact"].correct
    assert sum(arithmetic.flips.values()) > 0 < sum(n.overflowed for n in arithmetic.overflows.values())
    assert {n.seen for n in report.accumulators} == {None}
    again = Arithmetic(graph, arithmetic.what_if)
    batches = data.Batches(Counted(*digits), 48, 7)
    assert verify(model, graph, batches, execute=again, threads=1).modes == report.modes
    assert again.flips == arithmetic.flips


def test_the_integer_form(model, graph, digits):
    images, _ = data.load(workloads.find("digits_w4a4"), "train", limit=16)
    lowered = integerize(graph, "lut", measure(graph, {"input": images.numpy()}))
    report = verify(model, lowered, *digits, mixed=graph)
    assert report.predictions["mixed"].correct == report.correct_reference
    assert report.predictions["integer"].agreement > 0.9
    assert 0 < report.predictions["integer"].kl < 0.1
    same = {n.node for n in report.modes["node_by_node"]}
    assert same == {n.node for n in report.modes["free_running"]}
    for name in same:
        assert lowered.specs[name] == graph.specs[name]
    quantizers = {node.name for node in graph.nodes if isinstance(node.op, Quantize)}
    assert {n.node for n in report.reals} | set(report.absent) == quantizers
    assert same <= {n.node for n in report.reals}
    assert len(same) > 25
    assert report.mismatched("node_by_node") < 0.02 * report.compared("node_by_node")
    assert report.mismatched("node_by_node") < report.mismatched("free_running")
    assert all(n.cosine > 0.9 for n in report.reals)


def test_codes_of_other_grids_are_compared_as_reals_alone(model, graph, digits):
    """A graph on a grid of half the steps: no code can be compared, but the reals are the same to within half a step."""
    node = "blocks.0.mlp.fc2.input"
    spec = graph.specs[node].quant
    fine = dataclasses.replace(spec, bits=5, scale=(spec.scale[0] / 2,), zero_point=(2 * spec.zero_point[0],))
    nodes = [dataclasses.replace(n, op=Quantize(fine)) if n.name == node else n for n in graph.nodes]
    constants = {name: (array, graph.specs[name]) for name, array in graph.constants.items()}
    finer = graphs.build("finer", {"input": graph.specs["input"]}, constants, nodes, graph.outputs)
    report = verify(model, finer, *digits, mixed=graph)
    assert node not in {n.node for n in report.modes["node_by_node"]}
    found = next(n for n in report.reals if n.node == node)
    assert 0.97 < found.cosine < 1
    assert report.absent == ()
