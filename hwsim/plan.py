"""How a graph is run fast: its nodes as steps, some of which do the work of several nodes at once.

A step makes one value, that of its last node. Nodes are joined by the fusions of `hwsim/fusions`, one per file, where the
values in between have one reader and nobody wants to see them; of several fusions, the one that joins most. The integers,
and the floats bit for bit, stay what the nodes one by one would give.
Constants that a kernel wants in an order of its own are packed once per graph and tier.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Protocol
from weakref import WeakKeyDictionary

from hwsim import catalog
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node
from hwsim.kernels import choose
from hwsim.kernels.tier import Packed
from hwsim.op import Array

FUSIONS = "hwsim.fusions"


@dataclass(frozen=True, slots=True)
class Step:
    """Makes the value `name` of the values `inputs`, as `nodes` one after the other would."""

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    run: Callable[[tuple[Array, ...]], Array]


@dataclass(frozen=True, slots=True)
class View:
    """A graph as fusions see it: `only_reader` says where a value may disappear."""

    graph: Graph
    readers: Mapping[str, tuple[Node, ...]]
    wanted: frozenset[str]
    covered: set[str]
    """Nodes that are part of a step already."""
    packed: dict[str, Packed]
    """Constant operands of products, by node, as this tier wants them: shared by all plans of the graph."""

    def only_reader(self, name: str) -> Node | None:
        """The one node that reads the value `name`, which nobody else wants to see; None if there is no such node, if
        another step has it, or if its operator is not one of `hwsim/ops`, whose work is known."""
        readers = self.readers.get(name, ())
        if len(readers) != 1 or name in self.wanted or readers[0].name in self.covered or not is_known(readers[0]):
            return None
        return readers[0]


class Fusion(Protocol):
    """What a file of `hwsim/fusions` defines: the step that begins with `node`, or None."""

    def __call__(self, view: View, node: Node) -> Step | None:
        """The step for `node` and those after it that it joins."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order in which every value is made before it is read, and the last step that reads each."""

    steps: tuple[Step, ...]
    last_uses: Mapping[str, int]


PLANS = 8
"""Plans that are kept of a graph, one for each set of values that somebody wanted to see."""

_PLANS: WeakKeyDictionary[Graph, dict[tuple[frozenset[str], str], Plan]] = WeakKeyDictionary()
_PACKED: WeakKeyDictionary[Graph, dict[str, dict[str, Packed]]] = WeakKeyDictionary()
_lock = Lock()


def is_known(node: Node) -> bool:
    """Whether the operator is one of `hwsim/ops` itself, not something derived from it."""
    return type(node.op).__module__.startswith("hwsim.ops.")


def plan(graph: Graph, keep: Collection[str] = ()) -> Plan:
    """The plan for `graph` on this process's tier of kernels, where the values of `keep` must be made; made once."""
    tier, wanted = choose.tier(), frozenset((*keep, *graph.outputs))
    with _lock:
        plans = _PLANS.setdefault(graph, {})
        key = (wanted, tier.name)
        if key not in plans:
            packed = _PACKED.setdefault(graph, {}).setdefault(tier.name, {})
            plans[key] = _made(graph, wanted, packed)
            if len(plans) > PLANS:
                del plans[next(iter(plans))]
        return plans[key]


def _made(graph: Graph, wanted: frozenset[str], packed: dict[str, Packed]) -> Plan:
    readers: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers[name] = (*readers.get(name, ()), node)
    covered: set[str] = set()
    view = View(graph, readers, wanted, covered, packed)
    fusions = [catalog.find(FUSIONS, name) for name in catalog.names(FUSIONS)]
    place = {node.name: index for index, node in enumerate(graph.nodes)}
    steps = []
    for node in graph.nodes:
        if node.name in covered:
            continue
        tried = fusions if is_known(node) else ()
        found = [step for fusion in tried if (step := fusion(view, node)) is not None]
        step = max(found, key=lambda step: len(step.nodes), default=None) or _single(graph, node)
        covered.update(part.name for part in step.nodes)
        steps.append(step)
    steps.sort(key=lambda step: place[step.name])
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        last.update((name, index) for name in (*step.inputs, step.name))
    last.update((name, len(steps)) for name in graph.outputs)
    return Plan(tuple(steps), last)


def _single(graph: Graph, node: Node) -> Step:
    inputs, out = graph.inputs_of(node), graph.specs[node.name]

    def run(values: tuple[Array, ...]) -> Array:
        try:
            return node.op.run(values, inputs, out)
        except HwsimError as error:
            raise type(error)(f"{node.name}: {error}") from None

    return Step(node.name, (node,), node.inputs, run)
