import dataclasses
import io

import networkx as nx
import numpy as np
import pytest

from hwsim.errors import IllegalModel, UnknownName
from hwsim.graph import Node, build
from hwsim.ops.add import Add
from hwsim.ops.gelu import Gelu
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.slice import Slice
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec

X = TensorSpec((1, 3))
S4 = QuantSpec(4, True, (1.0,))
LISTING = """\
graph mlp: 1 input, 6 constants, 12 nodes
  input x: (B, 3, 5) float
  norm      (B, 3, 5) float                                 layernorm(x, norm.weight, norm.bias)
  fc1.x     (B, 3, 5) u4 per_tensor scale=0.25 zero_point=7  quantize(norm)
  fc1.acc   (B, 3, 7) s10 per_channel(axis=2, n=7)          linear(fc1.x, fc1.weight)
  fc1.real  (B, 3, 7) float                                 dequantize(fc1.acc)
  fc1       (B, 3, 7) float                                 add(fc1.real, fc1.bias)
  act       (B, 3, 7) float                                 gelu(fc1)
  fc2.x     (B, 3, 7) u4 per_tensor scale=0.125 zero_point=2  quantize(act)
  fc2.acc   (B, 3, 5) s11 per_tensor scale=0.007812         linear(fc2.x, fc2.weight)
  fc2.real  (B, 3, 5) float                                 dequantize(fc2.acc)
  fc2       (B, 3, 5) float                                 add(fc2.real, fc2.bias)
  residual  (B, 3, 5) float                                 add(x, fc2)
  scores    (B, 3, 5) float                                 softmax(residual)
  output scores"""


def chain(*nodes, outputs=None, inputs=None, constants=None):
    return build("g", inputs or {"x": X}, constants or {}, nodes, outputs or [nodes[-1].name])


def constant(*shape, quant=None, batched=False):
    array = np.zeros(shape, np.float64 if quant is None else quant.container)
    return array, TensorSpec(shape, quant, batched)


def test_listing(mlp):
    assert str(mlp) == LISTING


def test_listing_shows_attributes():
    graph = chain(Node("first", Slice(1, 0, 2), ("x",)))
    assert str(graph).splitlines()[2].endswith("  slice(x, axis=1, start=0, stop=2)")


def test_node_and_specs(mlp):
    node = mlp.node("fc1.acc")
    assert [str(spec) for spec in mlp.inputs_of(node)] == [
        "(B, 3, 5) u4 per_tensor scale=0.25 zero_point=7",
        "(7, 5) s4 per_channel(axis=0, n=7)",
    ]
    with pytest.raises(UnknownName) as caught:
        mlp.node("fc3")
    assert str(caught.value).startswith("node: unknown name, got 'fc3'; known, nearest first: fc1, fc2, ")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            lambda: chain(Node("a", Gelu(), ("x",)), Node("a", Gelu(), ("x",))),
            "a: a value's name must be unique, got it twice; rename one",
        ),
        (lambda: chain(Node("x", Gelu(), ("x",))), "x: a value's name must be unique, got it twice; rename one"),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), constants={"x": constant(3)}),
            "x: a value's name must be unique, got it twice; rename one",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("b",)), Node("b", Gelu(), ("x",))),
            "a: an operand must come before its use, got 'b'; reorder the nodes",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("a",))),
            "a: an operand must come before its use, got 'a'; reorder the nodes",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), outputs=["b"]),
            "g: an output must be a value of the graph, got 'b'; name a node",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), constants={"c": (np.zeros(2), constant(3)[1])}),
            "c: constant must have shape (3,), got (2,); trace the model again",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), constants={"c": constant(1, 3, batched=True)}),
            "c: a constant has no batch, got (B, 3) float; give it batched=False",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), constants={"c": (np.array([1, np.nan, 0]), constant(3)[1])}),
            "c: a float constant must be finite, got NaN, infinity or float64; export it again",
        ),
        (  # one number, repeated
            lambda: chain(
                Node("a", Gelu(), ("x",)), constants={"c": (np.broadcast_to(np.inf, (3, 3)), constant(3, 3)[1])}
            ),
            "c: a float constant must be finite, got NaN, infinity or float64; export it again",
        ),
        (  # the last of a row, repeated
            lambda: chain(
                Node("a", Gelu(), ("x",)),
                constants={"c": (np.broadcast_to([1, 0, np.nan], (2, 3)), constant(2, 3)[1])},
            ),
            "c: a float constant must be finite, got NaN, infinity or float64; export it again",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), constants={"c": (np.zeros(3, np.int8), constant(3)[1])}),
            "c: a float constant must be finite, got NaN, infinity or int8; export it again",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), constants={"c": (np.zeros(3), constant(3, quant=S4)[1])}),
            "c: codes must be integers, got float64; export it again",
        ),
        (
            lambda: chain(Node("a", Gelu(), ("x",)), constants={"c": (np.array([-8, 8]), constant(2, quant=S4)[1])}),
            "c: codes must be in -8..7, got -8..8; export it again",
        ),
        (
            lambda: chain(
                Node("a", Gelu(), ("x",)),
                constants={"c": (np.array([-1, 0]), constant(2, quant=BipolarSpec((1.0,)))[1])},
            ),
            "c: bipolar codes must be -1 or 1, got 0; export it again",
        ),
        (lambda: chain(Node("a", Add(), ("x",))), "a: not enough values to unpack"),
        (
            lambda: chain(Node("a", Linear(), ("x", "w")), constants={"w": constant(2, 4)}),
            "a: inputs must have 4 features, got (B, 3) float; check the layer",
        ),
        (
            lambda: chain(Node("a", Slice(1, 0, np.int64(2)), ("x",))),
            "a: slice: stop must be an integer, got np.int64(2); lower it again",
        ),
        (
            lambda: chain(Node("a", Slice(1, 0, 2, drop=0), ("x",))),
            "a: slice: drop must be a bool, got 0; lower it again",
        ),
    ],
)
def test_wiring_errors_name_the_node(wrong, text):
    with pytest.raises(IllegalModel) as caught:
        wrong()
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_an_accumulator_above_32_bits_is_refused():
    wide = QuantSpec(16, False, (1.0,))
    weight = {"fc.weight": constant(1, 2, quant=wide)}
    with pytest.raises(IllegalModel) as caught:
        chain(Node("fc", Linear(), ("x", "fc.weight")), inputs={"x": TensorSpec((1, 2), wide)}, constants=weight)
    assert str(caught.value) == "fc: accumulator needs 34 bits, got 32; lower the bits of an operand"


@pytest.mark.parametrize(("depth", "bits"), [(33025, 32), (33026, 33)])
def test_the_deepest_sum_of_bytes(depth, bits):
    """33025 products of 255 * 255 are 2147450625, below 2**31 - 1; one more is above."""
    byte = QuantSpec(8, False, (1.0,))
    operands = {"a": TensorSpec((1, 1, depth), byte), "b": TensorSpec((1, depth, 1), byte)}
    if bits == 32:
        assert chain(Node("qk", MatMul(), ("a", "b")), inputs=operands).specs["qk"].quant.bits == 32
        return
    with pytest.raises(IllegalModel, match=r"^qk: accumulator needs 33 bits, got 32; lower the bits of an operand$"):
        chain(Node("qk", MatMul(), ("a", "b")), inputs=operands)


def test_a_scale_along_the_reduction_axis_is_refused():
    per_feature = TensorSpec((1, 2), QuantSpec(4, False, (1.0, 2.0), (0, 0), 1))
    weight = {"w": constant(3, 2, quant=QuantSpec(4, True, (1.0,)))}
    with pytest.raises(IllegalModel) as caught:
        chain(Node("blocks.0.attn.qkv", Linear(), ("x", "w")), inputs={"x": per_feature}, constants=weight)
    assert str(caught.value) == (
        "blocks.0.attn.qkv: a scale along the reduction axis cannot be factored out of an integer sum, got (B, 2) u4 "
        "per_channel(axis=1, n=2); use a per-tensor scale, fold the scales into the preceding LayerNorm and the weights "
        "(scale reparametrization, `hwsim trace --fold-input-scales`), shift by factors that are powers of two, or sum a "
        "few groups of channels apart"
    )


def test_dead_nodes_and_constants_go():
    graph = chain(
        Node("a", Gelu(), ("x",)),
        Node("dead", Add(), ("a", "c")),
        Node("b", Gelu(), ("a",)),
        outputs=["b"],
        inputs={"x": X, "unread": X},
        constants={"c": constant(3)},
    )
    assert [node.name for node in graph.nodes] == ["a", "b"]
    assert (graph.inputs, dict(graph.constants), set(graph.specs)) == (("x", "unread"), {}, {"x", "unread", "a", "b"})


def test_an_input_may_be_an_output():
    graph = chain(Node("a", Gelu(), ("x",)), outputs=["x"])
    assert (graph.nodes, graph.last_uses()) == ((), {"x": 0})


def test_last_uses(mlp):
    index = {node.name: i for i, node in enumerate(mlp.nodes)}
    last = mlp.last_uses()
    assert last["x"] == index["residual"]
    assert last["fc1.weight"] == index["fc1.acc"]
    assert last["act"] == index["fc2.x"]
    assert last["scores"] == len(mlp.nodes)
    assert set(last) == set(mlp.specs)


def test_networkx(mlp):
    digraph = mlp.to_networkx()
    assert nx.is_directed_acyclic_graph(digraph)
    assert digraph.nodes["fc1"] == {"kind": "node", "op": "add", "spec": "(B, 3, 7) float"}
    assert digraph.nodes["x"]["kind"] == "input"
    assert digraph.nodes["fc1.weight"] == {"kind": "constant", "op": "", "spec": "(7, 5) s4 per_channel(axis=0, n=7)"}
    assert set(digraph.predecessors("residual")) == {"x", "fc2"}
    nx.write_graphml(digraph, file := io.BytesIO())
    again = nx.read_graphml(io.BytesIO(file.getvalue()))
    assert dict(again.nodes(data=True)) == dict(digraph.nodes(data=True))
    assert set(again.edges) == set(digraph.edges)


def test_a_graph_is_immutable(mlp):
    with pytest.raises(dataclasses.FrozenInstanceError):
        mlp.name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        mlp.nodes[0].name = "other"
    for mapping in (mlp.specs, mlp.constants, mlp.meta):
        with pytest.raises(TypeError):
            mapping["x"] = None
    with pytest.raises(ValueError, match="read-only"):
        mlp.constants["fc1.bias"][0] = 1
