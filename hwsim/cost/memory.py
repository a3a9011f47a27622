"""Memory: bytes of the parameters, and the most bytes of activations that are alive at once for one image.

Codes are taken at their bits (packed), floats at 32 bits, accumulators in their container, int32. A value lives from the
node that makes it to the last node that reads it, in the graph's order; reshape, transpose and slice are views and cost
nothing, but keep what they look at alive. A node's operands and its result are alive together: nothing is in place.
"""

from dataclasses import dataclass

from hwsim.cost.conventions.size_bidet import SizeBidet
from hwsim.cost.groups import VIEWS, group_of
from hwsim.cost.work import Rows, work
from hwsim.graph import Graph, op_name
from hwsim.spec import FLOAT_BITS, MAX_BITS


@dataclass(frozen=True, slots=True)
class Peak:
    """`bytes` of activations alive while `node` runs, held by the values called `alive`."""

    bytes: float
    node: str
    alive: tuple[str, ...]


def parameter_bytes(work_or_graph: Graph | Rows) -> float:
    """Weights at their bits, all other parameters at 32 bits; scales and zero points are not counted."""
    rows = work(work_or_graph) if isinstance(work_or_graph, Graph) else work_or_graph
    return sum(SizeBidet(real_bits=FLOAT_BITS).amounts(rows))


def peak_activations(graph: Graph) -> Peak:
    """The first node at which the most bytes are alive; constants are not activations."""
    owner = {name: name for name in graph.inputs}
    bits = {name: graph.specs[name].bits for name in graph.inputs}
    for node in graph.nodes:
        if op_name(node.op) in VIEWS and node.inputs[0] in owner:
            owner[node.name] = owner[node.inputs[0]]
            continue
        owner[node.name] = node.name
        spec = graph.specs[node.name]
        accumulator = spec.quant is not None and group_of(node.name, node.op) != "elementwise"
        bits[node.name] = MAX_BITS if accumulator else spec.bits
    dies: dict[str, int] = {}
    for name, index in graph.last_uses().items():
        if name in owner:
            dies[owner[name]] = max(index, dies.get(owner[name], -1))
    sizes = {name: bits[name] * graph.specs[name].elements for name in bits}
    alive = dict.fromkeys(name for name in graph.inputs if name in dies)
    most, peak = -1, Peak(0, "", ())
    for index, node in enumerate(graph.nodes):
        if owner[node.name] == node.name:
            alive[node.name] = None
        held = sum(sizes[name] for name in alive)
        if held > most:
            most, peak = held, Peak(held / 8, node.name, tuple(alive))
        alive = {name: None for name in alive if dies[name] > index}
    return peak
