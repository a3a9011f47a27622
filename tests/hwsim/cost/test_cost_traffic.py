"""Bytes between chip and DRAM, by hand; and what must hold whatever the buffer."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost.memory import lives_of, peak_activations
from hwsim.cost.traffic import Traffic, by_group, summed, traffic
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, build
from hwsim.ops.add import Add
from hwsim.ops.gelu import Gelu
from hwsim.ops.linear import Linear
from hwsim.ops.reshape import Reshape
from hwsim.ops.slice import Slice
from hwsim.spec import QuantSpec, TensorSpec

X = {"x": TensorSpec((1, 10, 4))}
SIZE = 160
WEIGHT = np.zeros((2, 4), np.float32), TensorSpec((2, 4), batched=False)


def residual() -> Graph:
    nodes = [Node("a", Gelu(), ("x",)), Node("b", Gelu(), ("a",)), Node("c", Add(), ("x", "b"))]
    return build("g", X, {}, nodes, ["c"])


def moved(graph: Graph, buffer: float = 0, batch: int = 1) -> dict[str, tuple[float, float, float]]:
    return {t.node: (t.constants, t.reads, t.writes) for t in traffic(graph, buffer, batch)}


def test_without_a_buffer_each_node_reads_and_writes() -> None:
    assert moved(residual()) == {"a": (0, SIZE, SIZE), "b": (0, SIZE, SIZE), "c": (0, 2 * SIZE, SIZE)}


def test_a_buffer_keeps_the_shortest_lives_that_fit() -> None:
    # a lives with b, b with c; x is alive all the time, c is an output and is written all the same
    assert moved(residual(), 2 * SIZE) == {"a": (0, SIZE, 0), "b": (0, 0, 0), "c": (0, SIZE, SIZE)}
    assert moved(residual(), SIZE) == {"a": (0, SIZE, 0), "b": (0, 0, SIZE), "c": (0, 2 * SIZE, SIZE)}
    assert moved(residual(), 3 * SIZE) == {"a": (0, SIZE, 0), "b": (0, 0, 0), "c": (0, 0, SIZE)}


def test_a_batch_reads_constants_once_and_needs_room_for_all_its_images() -> None:
    graph = build("g", X, {"w": WEIGHT}, [Node("a", Gelu(), ("x",)), Node("y", Linear(), ("a", "w"))], ["y"])
    assert moved(graph, batch=3) == {"a": (0, 3 * SIZE, 3 * SIZE), "y": (32, 3 * SIZE, 3 * 80)}
    assert moved(graph, 2 * SIZE, batch=1)["y"] == (32, 0, 80)
    assert moved(graph, 2 * SIZE, batch=3)["y"] == (32, 3 * SIZE, 3 * 80)
    (_, product) = traffic(graph, batch=3)
    assert product.macs == 3 * 10 * 4 * 2
    assert product.bops == 32 * 32 * product.macs
    assert product.macs_per_byte == 240 / (32 + 3 * SIZE + 3 * 80)
    assert product.bops_per_byte == 1024 * product.macs_per_byte
    assert product.makes == 80


def test_a_view_moves_nothing_and_is_read_at_its_own_size() -> None:
    nodes = [
        Node("a", Gelu(), ("x",)),
        Node("s", Slice(1, 0, 3), ("a",)),
        Node("r", Reshape((1, 12)), ("s",)),
        Node("b", Gelu(), ("r",)),
    ]
    graph = build("g", X, {}, nodes, ["b"])
    assert moved(graph)["s"] == moved(graph)["r"] == (0, 0, 0)
    assert moved(graph)["b"] == (0, 48, 48)


def test_an_operand_that_comes_twice_is_read_once() -> None:
    graph = build("g", X, {}, [Node("a", Add(), ("x", "x"))], ["a"])
    assert moved(graph) == {"a": (0, SIZE, SIZE)}


def test_codes_at_their_bits_accumulators_at_32(block: Graph) -> None:
    rows = {t.node: t for t in traffic(block)}
    qk = rows["blocks.0.attn.qk"]
    assert qk.reads == (30 * 4 + 30 * 4) / 8
    assert qk.writes == 2 * 25 * 4
    assert rows["blocks.0.attn.qkv"].constants == 36 * 4 / 8
    assert rows["blocks.0.attn.av.a"].makes == 2 * 25 * 4 / 8


def test_sums(block: Graph) -> None:
    rows = traffic(block)
    total = summed(rows)
    assert total.bytes == sum(row.bytes for row in rows) == sum(row.bytes for row in by_group(rows).values())
    assert total.macs == 180 + 150 + 150 + 180 + 210
    assert Traffic("n", "qk").macs_per_byte == Traffic("n", "qk").bops_per_byte == 0


@given(room=st.integers(0, 3000), more=st.integers(0, 3000), batch=st.integers(1, 4))
def test_more_room_never_moves_more_than_everything(room: int, more: int, batch: int) -> None:
    graph = build("g", X, {"w": WEIGHT}, [*residual().nodes, Node("y", Linear(), ("c", "w"))], ["y"])
    nothing, some = summed(traffic(graph, 0, batch)), summed(traffic(graph, room, batch))
    assert some.bytes <= nothing.bytes
    assert some.constants == nothing.constants
    lives = lives_of(graph)
    enough = summed(traffic(graph, batch * peak_activations(graph).bytes, batch))
    ends = sum(lives.lives[name].bytes for name in ("x", "y"))
    assert enough.bytes == nothing.constants + batch * ends  # the input is read, the output written, nothing else


def test_what_is_kept_always_fits(block_at: Callable[..., Graph]) -> None:
    """Restated: at no node may the values that are neither read nor written take more than the buffer."""
    graph = block_at()
    found = lives_of(graph)
    for room in (100, 200, 400, 800):
        rows = {t.node: t for t in traffic(graph, room)}
        kept = [
            life for name, life in found.lives.items() if name in rows and not rows[name].writes and rows[name].makes
        ]
        for index in range(len(graph.nodes)):
            assert sum(life.bytes for life in kept if life.start <= index <= life.end) <= room


@pytest.mark.parametrize(("room", "batch"), [(-1, 1), (0, 0)])
def test_impossible_rooms_and_batches(room: int, batch: int) -> None:
    with pytest.raises(HwsimError) as error:
        traffic(residual(), room, batch)
    assert str(error.value) == (
        f"traffic: batch must be 1 or more and the buffer 0 or more, got {batch} and {room}; mend them"
    )


def test_quantized_weights_are_packed() -> None:
    grid = QuantSpec(3, True, (1.0,))
    weight = np.zeros((2, 4), np.int8), TensorSpec((2, 4), grid, batched=False)
    graph = build("g", X, {"w": weight}, [Node("y", Linear(), ("x", "w"))], ["y"])
    assert moved(graph)["y"] == (2 * 4 * 3 / 8, SIZE, 80)
