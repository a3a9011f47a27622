"""Planted faults are found at the right node, and what is saved is enough to compute both sides again."""

import dataclasses

import numpy as np
import pytest
import torch

import hwsim
import qmodels
from hwsim import graph as graphs
from hwsim.ops.quantize import Quantize
from hwsim.spec import TensorSpec
from qmodels import builder, data
from qmodels.divergence import one_image, upstream

NODE = "blocks.1.mlp.fc2.input"


@pytest.fixture(scope="module")
def model():
    return builder.build("digits_w4a4")


@pytest.fixture(scope="module")
def graph(model):
    return qmodels.trace(model, torch.zeros(2, 1, 32, 32), "digits_w4a4")


@pytest.fixture(scope="module")
def images():
    return data.digits("test")[0][:40]


@dataclasses.dataclass(frozen=True, slots=True)
class Floor(Quantize):
    """Rounds down."""

    def run(self, values, inputs, out):
        codes = np.floor(values[0] / self.spec.scale[0]) + self.spec.zero_point[0]
        return np.clip(codes, self.spec.qmin, self.spec.qmax).astype(self.spec.container)


def changed(graph, op=None, constants=None, node=NODE):
    """The graph with another operator at the node, or other constants."""
    arrays = {name: ((constants or {}).get(name, a), graph.specs[name]) for name, a in graph.constants.items()}
    nodes = [dataclasses.replace(n, op=op) if op and n.name == node else n for n in graph.nodes]
    inputs = {name: graph.specs[name] for name in graph.inputs}
    return graphs.build(graph.name, inputs, arrays, nodes, graph.outputs)


def codes(reals, spec):
    """S2 by NumPy."""
    return np.clip(np.rint(reals / spec.scale[0]) + spec.zero_point[0], spec.qmin, spec.qmax)


def check(found, graph):
    """What every divergence must hold."""
    got, expected = found.arrays["got"], found.arrays["expected"]
    assert got.shape == expected.shape == graph.specs[found.node].shape
    assert tuple(np.argwhere(got != expected)[0]) == found.element
    assert (got[found.element], expected[found.element]) == (found.got, found.expected)


def test_a_wrong_rounding(model, graph, images):
    spec = graph.specs[NODE].quant
    found = qmodels.verify(model, changed(graph, Floor(spec)), images).divergence
    assert (found.node, found.image) == (NODE, 0)
    check(found, graph)
    operand = found.arrays["operand.blocks.1.mlp.act.gelu"]
    assert np.array_equal(found.arrays["expected"], codes(operand, spec))
    assert np.array_equal(found.arrays["got"], np.clip(np.floor(operand / spec.scale[0]) + spec.zero_point[0], 0, 15))
    assert np.allclose(operand, found.arrays["reference_input"], rtol=0, atol=1e-12)


def test_a_wrong_zero_point(model, graph, images):
    spec = graph.specs[NODE].quant
    shifted = dataclasses.replace(spec, zero_point=(spec.zero_point[0] + 1,))
    found = qmodels.verify(model, changed(graph, Quantize(shifted)), images).divergence
    check(found, graph)
    assert (found.node, found.got - found.expected) == (NODE, 1)
    assert np.array_equal(found.arrays["got"], codes(found.arrays["operand.blocks.1.mlp.act.gelu"], shifted))


def test_a_changed_weight_and_all_between_it_and_the_codes(model, graph, images):
    weight = graph.constants["blocks.1.mlp.fc1.weight"].copy()
    weight[:, 5] = -weight[:, 5] // 2
    wrong = changed(graph, constants={"blocks.1.mlp.fc1.weight": weight})
    found = qmodels.verify(model, wrong, images).divergence
    check(found, graph)
    assert found.node == NODE
    assert {name for name in found.arrays if name.startswith("upstream.")} == {
        "upstream.blocks.1.mlp.fc1.input",
        "upstream.blocks.1.mlp.fc1.weight",
        "upstream.blocks.1.mlp.fc1.bias.value",
        "upstream.blocks.1.mlp.fc1",
        "upstream.blocks.1.mlp.fc1.dequantize",
        "upstream.blocks.1.mlp.fc1.bias",
    }
    sums = found.arrays["upstream.blocks.1.mlp.fc1.input"].astype(int)
    sums = (sums - graph.specs["blocks.1.mlp.fc1.input"].quant.zero_point[0]) @ weight.T.astype(int)
    assert np.array_equal(found.arrays["upstream.blocks.1.mlp.fc1"], sums)
    reals = found.arrays["reference_input"]
    assert np.array_equal(found.arrays["expected"], codes(reals, graph.specs[NODE].quant))
    assert not np.allclose(reals, found.arrays["operand.blocks.1.mlp.act.gelu"], atol=0.01)


@dataclasses.dataclass(frozen=True, slots=True)
class OneOff(Quantize):
    """One code too many at the first element of the images whose values have the sum `total`, of all where it is 0."""

    total: float = 0.0

    def run(self, values, inputs, out):
        made = Quantize(self.spec).run(values, inputs, out).astype(np.int16)
        for image, reals in zip(made, values[0], strict=True):
            image[0, 0] += self.total in (0.0, float(reals.sum()))
        return made


def test_the_earliest_node_of_all_images_wins_and_the_first_image_of_it(model, graph, images):
    """A later node differs on the first image already, an earlier one in the second batch alone."""
    early = "blocks.0.mlp.fc2.input"
    seen = hwsim.simulate(graph, {"input": images[37:38].numpy()}, ["blocks.0.mlp.act.gelu"])
    total = float(seen["blocks.0.mlp.act.gelu"][0].sum())
    both = changed(changed(graph, OneOff(graph.specs[NODE].quant)), OneOff(graph.specs[early].quant, total), node=early)
    found = qmodels.verify(model, both, images).divergence
    check(found, graph)
    assert (found.node, found.image, found.element) == (early, 37, (0, 0, 0))
    assert found.got == found.expected + 1
    assert found.arrays["reference_input"].shape == (1, 65, 192)


def test_what_lies_between_is_of_the_image_that_differs(model, graph, images):
    """Behind a residual sum the values come all the way from the image."""
    node = "blocks.1.attn.qkv.input"
    first = "patch_embed.proj.input"
    values = hwsim.simulate(graph, {"input": images[5:6].numpy()}, ["blocks.1.norm1", first])
    seen = values["blocks.1.norm1"]
    wrong = changed(graph, OneOff(graph.specs[node].quant, float(seen[0].sum())), node=node)
    found = qmodels.verify(model, wrong, images[:8]).divergence
    check(found, graph)
    assert (found.node, found.image) == (node, 5)
    assert np.array_equal(found.arrays["operand.blocks.1.norm1"], seen)
    assert np.array_equal(found.arrays[f"upstream.{first}"], values[first])
    assert np.allclose(found.arrays["reference_input"], seen, rtol=0, atol=1e-12)


def test_it_speaks_and_is_saved(model, graph, images, tmp_path):
    found = qmodels.verify(model, changed(graph, Floor(graph.specs[NODE].quant)), images[:1]).divergence
    assert str(found) == (
        f"{NODE}: first code that differs is at image 0, element {found.element}: "
        f"got {found.got}, expected {found.expected}"
    )
    assert found.place() == {
        "node": NODE,
        "image": 0,
        "element": list(found.element),
        "got": found.got,
        "expected": found.expected,
    }
    found.save(tmp_path / "found.npz")
    with np.load(tmp_path / "found.npz", allow_pickle=False) as saved:
        assert str(saved["node"]) == NODE
        assert saved["element"].tolist() == list(found.element)
        for name, array in found.arrays.items():
            assert np.array_equal(saved[name], array)


def test_upstream_stops_at_what_is_known(graph):
    known = {"blocks.0.attn.qk.a", "blocks.0.attn.qk.b"}
    assert upstream(graph, "blocks.0.attn.av.a", known) == (
        "blocks.0.attn.mul.value",
        "blocks.0.attn.qk.a",
        "blocks.0.attn.qk.b",
        "blocks.0.attn.qk",
        "blocks.0.attn.qk.dequantize",
        "blocks.0.attn.mul",
        "blocks.0.attn.softmax",
    )


def test_the_rows_of_one_image():
    rows = np.arange(12).reshape(6, 2)
    assert one_image(rows, TensorSpec((3, 2)), 1).tolist() == [[6, 7], [8, 9], [10, 11]]
