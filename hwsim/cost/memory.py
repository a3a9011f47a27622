"""Memory of activations: how long each value lives, the most bytes alive at once, and what attention keeps.

Codes are taken at their bits (packed), floats at 32 bits, accumulators in their container, int32. A value lives from the
node that makes it to the last node that reads it, in the graph's order; reshape, transpose and slice are views and cost
nothing, but keep what they look at alive. A node's operands and its result are alive together: nothing is in place. All
is for one image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.cost.groups import VIEWS, group_of
from hwsim.cost.work import Rows
from hwsim.graph import Graph, op_name
from hwsim.spec import MAX_BITS


@dataclass(frozen=True, slots=True)
class Life:
    """A value of `elements` at `bits` each is in memory from node number `start` to `end`, both included; an output's end
    is the number of nodes."""

    elements: int
    bits: int
    start: int
    end: int

    @property
    def bytes(self) -> float:
        """Its packed size."""
        return self.elements * self.bits / 8


@dataclass(frozen=True, slots=True)
class Lives:
    """The life of every value that takes memory, in the order in which they are made, and the `owner` of every value: of
    a view the value that it looks at. Constants have neither."""

    lives: Mapping[str, Life]
    owner: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Peak:
    """`bytes` of activations alive while `node` runs, held by the values called `alive`."""

    bytes: float
    node: str
    alive: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attention:
    """What one attention of one image keeps, in bytes: `keys` and `values` as the codes that QK^T and AV read, `scores` as
    accumulators of QK^T, `maps` as the codes of the softmax that AV reads."""

    node: str
    keys: float
    values: float
    scores: float
    maps: float


def lives_of(graph: Graph) -> Lives:
    """The lives of the graph's inputs that are read, and of what its nodes make."""
    owner = {name: name for name in graph.inputs}
    for node in graph.nodes:
        viewed = owner.get(node.inputs[0]) if op_name(node.op) in VIEWS else None
        owner[node.name] = viewed or node.name
    end: dict[str, int] = {}
    for name, index in graph.last_uses().items():
        if name in owner:
            end[owner[name]] = max(index, end.get(owner[name], -1))
    start = dict.fromkeys(graph.inputs, 0) | {node.name: i for i, node in enumerate(graph.nodes)}
    accumulators = {node.name for node in graph.nodes if group_of(node.name, node.op) != "elementwise"}
    lives = {}
    for name in start:
        if owner[name] == name and name in end:
            spec = graph.specs[name]
            bits = MAX_BITS if name in accumulators and spec.quant is not None else spec.bits
            lives[name] = Life(spec.elements, bits, start[name], end[name])
    return Lives(lives, owner)


def peak_activations(graph: Graph) -> Peak:
    """The first node at which the most bytes are alive; constants are not activations."""
    lives = lives_of(graph).lives
    held = [0.0] * (len(graph.nodes) + 1)
    for life in lives.values():
        held[life.start] += life.bytes
        if life.end + 1 < len(held):
            held[life.end + 1] -= life.bytes
    most, at, now = -1.0, 0, 0.0
    for index in range(len(graph.nodes)):
        now += held[index]
        if now > most:
            most, at = now, index
    if not graph.nodes:
        return Peak(0, "", ())
    alive = tuple(name for name, life in lives.items() if life.start <= at <= life.end)
    return Peak(most, graph.nodes[at].name, alive)


def attention_memory(rows: Rows) -> tuple[Attention, ...]:
    """Keys, values, scores and maps of each attention, from its two products."""
    scores = [(row.node, row.gemm) for row in rows if row.group == "qk" and row.gemm]
    mixes = [row.gemm for row in rows if row.group == "av" and row.gemm]
    return tuple(
        Attention(
            name.rpartition(".")[0],
            keys=qk.batch * qk.k * qk.n * qk.b_bits / 8,
            values=av.batch * av.k * av.n * av.b_bits / 8,
            scores=qk.batch * qk.m * qk.n * MAX_BITS / 8,
            maps=av.batch * av.m * av.k * av.a_bits / 8,
        )
        for (name, qk), av in zip(scores, mixes, strict=True)
    )
