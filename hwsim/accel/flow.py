"""Which values a machine must keep between the stages of a graph.

A *stage* is one product (GEMM) and the vector work that can be done once it is done: softmax behind QK^T, the quantizers of
q, k and v behind qkv. What waits for no product belongs to the first. Values that begin and end within a stage never leave
the chip. The others cross: codes that a later product reads, the residual stream, what is an input or an output of the
graph. An input that is quantized for the first product crosses as the codes, as if the host had quantized it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.cost.memory import lives_of
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.op import Op

OUTSIDE = -1
"""Stage in which a graph's inputs are made."""

Feed = tuple[str, int]
"""An operand of a product: the product's node, and 0 or 1."""


@dataclass(frozen=True, slots=True)
class Value:
    """`elements` (of one image) that stage `born` makes and later ones read, `last` of them last.

    feeds: the operands of products that it is; where there are any, its codes have their width, else `bits` (32: a float).
    output: whether it is an output of the graph.
    """

    name: str
    elements: int
    bits: int
    born: int
    last: int
    feeds: tuple[Feed, ...]
    output: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """The stages of a graph: their products in order, the stage of every node, the values that cross.

    readers: for each stage the values that it reads, as names, its product's operands first and none of them twice.
    """

    products: tuple[str, ...]
    stage_of: Mapping[str, int]
    values: Mapping[str, Value]
    operands: tuple[tuple[str | None, str | None], ...]
    readers: tuple[tuple[str, ...], ...]


def flow(graph: Graph) -> Flow:
    """The stages of `graph`; raises HwsimError for a graph without products."""
    products = tuple(node.name for node in graph.nodes if type(node.op).gemm is not Op.gemm)
    if not products:
        raise HwsimError(
            f"{graph.name}: a graph must have a product (GEMM) to be run by a PE array, got none; trace a model"
        )
    stage_of = _stages(graph, products)
    found = lives_of(graph)
    born = dict.fromkeys(graph.inputs, OUTSIDE) | stage_of
    nodes = {node.name: node for node in graph.nodes}
    operands: list[tuple[str | None, str | None]] = []
    fed: dict[str, list[Feed]] = {}
    for stage, product in enumerate(products):
        owners = [found.owner.get(name) for name in nodes[product].inputs[:2]]
        pair = (owners[0], owners[1] if len(owners) > 1 else None)
        operands.append(pair)
        for side, owner in enumerate(pair):
            if owner is not None:
                fed.setdefault(owner, []).append((product, side))
                if born[owner] == stage:  # codes of the graph's input
                    born[owner] = OUTSIDE
    reads: list[dict[str, None]] = [dict.fromkeys(o for o in pair if o) for pair in operands]
    last = dict.fromkeys(found.lives, OUTSIDE)
    for node in graph.nodes:
        stage = stage_of[node.name]
        for owner in (found.owner.get(name) for name in node.inputs):
            if owner is None or (owner in graph.inputs and node.name not in products and stage == 0):
                continue
            last[owner] = max(last[owner], stage)
            if born[owner] < stage:
                reads[stage].setdefault(owner)
    outputs = {found.owner[name] for name in graph.outputs if name in found.owner}
    values = {}
    for name, life in found.lives.items():
        if born[name] < last[name] or name in outputs:
            spec, feeds = graph.specs[name], tuple(fed.get(name, ()))
            elements = life.elements
            values[name] = Value(name, elements, spec.bits, born[name], last[name], feeds, name in outputs)
    return Flow(products, stage_of, values, tuple(operands), tuple(tuple(names) for names in reads))


def _stages(graph: Graph, products: tuple[str, ...]) -> dict[str, int]:
    """The stage of every node: a product's own, vector work's that of the last product that it waits for."""
    stage_of = {product: stage for stage, product in enumerate(products)}
    for node in graph.nodes:
        stage_of.setdefault(node.name, max((stage_of[name] for name in node.inputs if name in stage_of), default=0))
    return stage_of
