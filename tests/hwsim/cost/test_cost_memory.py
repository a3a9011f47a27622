from collections.abc import Callable

import numpy as np

from hwsim.cost.memory import Attention, Life, Peak, attention_memory, lives_of, peak_activations
from hwsim.cost.storage import parameter_bytes
from hwsim.cost.work import with_bits, work
from hwsim.graph import Graph, Node, build
from hwsim.ops.add import Add
from hwsim.ops.gelu import Gelu
from hwsim.ops.linear import Linear
from hwsim.ops.quantize import Quantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.transpose import Transpose
from hwsim.spec import QuantSpec, TensorSpec

X = {"x": TensorSpec((1, 10, 4))}


def test_parameters_by_hand(block: Graph) -> None:
    assert parameter_bytes(work(block)) == (36 * 4 + 36 * 4 + 42 * 8 + 18 * 32) / 8
    assert parameter_bytes(with_bits(work(block), 32, 32)) == (36 + 36 + 42 + 18) * 4


def test_operand_and_result_are_alive_together() -> None:
    graph = build("g", X, {}, [Node("a", Gelu(), ("x",)), Node("b", Gelu(), ("a",))], ["b"])
    assert peak_activations(graph) == Peak(2 * 160, "a", ("x", "a"))


def test_a_residual_is_kept() -> None:
    nodes = [Node("a", Gelu(), ("x",)), Node("b", Gelu(), ("a",)), Node("c", Add(), ("x", "b"))]
    assert peak_activations(build("g", X, {}, nodes, ["c"])) == Peak(3 * 160, "b", ("x", "a", "b"))


def test_views_cost_nothing_and_keep_their_source() -> None:
    nodes = [
        Node("r", Reshape((1, 40)), ("x",)),
        Node("t", Transpose((0, 2, 1)), ("x",)),
        Node("a", Gelu(), ("t",)),
        Node("b", Gelu(), ("a",)),
        Node("s", Reshape((1, 40)), ("b",)),
        Node("c", Add(), ("r", "s")),
    ]
    assert peak_activations(build("g", X, {}, nodes, ["c"])) == Peak(3 * 160, "b", ("x", "a", "b"))


def test_codes_at_their_bits_and_accumulators_at_32() -> None:
    grid = QuantSpec(4, False, (1.0,))
    weight = np.zeros((1, 4), np.int8), TensorSpec((1, 4), QuantSpec(4, True, (1.0,)), batched=False)
    nodes = [Node("q", Quantize(grid), ("x",)), Node("y", Linear(), ("q", "w"))]
    graph = build("g", X, {"w": weight}, nodes, ["y"])
    assert peak_activations(graph) == Peak(160 + 20, "q", ("x", "q"))
    nodes = [Node("q", Quantize(grid), ("x",)), Node("p", Reshape((1, 2, 20)), ("q",))]
    wide = np.zeros((50, 20), np.int8), TensorSpec((50, 20), QuantSpec(4, True, (1.0,)), batched=False)
    graph = build("g", X, {"w": wide}, [*nodes, Node("y", Linear(), ("p", "w"))], ["y"])
    assert peak_activations(graph) == Peak(20 + 100 * 4, "y", ("q", "y"))


def test_deit_small(traced: Callable) -> None:
    peak = traced("DeiT-S").peak
    assert peak.node == "blocks.0.attn.qk.dequantize"
    # residual stream, q k v (v is still to be read), scores as accumulator and as float, all 4 bytes an element
    assert peak.bytes == 4 * (197 * 384 + 197 * 1152 + 2 * 6 * 197 * 197)


def test_lives_of_a_residual() -> None:
    nodes = [Node("a", Gelu(), ("x",)), Node("r", Reshape((1, 40)), ("a",)), Node("b", Gelu(), ("r",))]
    found = lives_of(build("g", X, {}, nodes, ["b"]))
    assert found.lives == {"x": Life(40, 32, 0, 0), "a": Life(40, 32, 0, 2), "b": Life(40, 32, 2, 3)}
    assert found.owner == {"x": "x", "a": "a", "r": "a", "b": "b"}


def test_attention_by_hand(block: Graph) -> None:
    tokens, heads, dim = 5, 2, 3
    codes, scores = heads * tokens * dim * 4 / 8, heads * tokens * tokens * 4
    assert attention_memory(work(block)) == (Attention("blocks.0.attn", codes, codes, scores, scores / 8),)
    assert attention_memory(with_bits(work(block), 4, 32))[0].keys == 8 * codes


def test_attention_of_deit_small(traced: Callable) -> None:
    found = attention_memory(traced("DeiT-S").rows)
    assert len(found) == 12
    assert {a.keys for a in found} == {a.values for a in found} == {197 * 384 / 2}
    assert {a.scores for a in found} == {6 * 197 * 197 * 4}
    assert {a.maps for a in found} == {6 * 197 * 197 / 2}
