"""The one intermediate representation: a frozen, topologically ordered graph of operators.

A node makes one value, which carries the node's name; the name is the module path that it was traced from
(`blocks.3.attn.qkv`). Every value - input, constant or node - has a TensorSpec, inferred when the graph is built, and the
values of constants are what their specs say, so a Graph that exists is legal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass
from types import MappingProxyType
from typing import Any

import networkx as nx
import numpy as np

from hwsim.catalog import unknown
from hwsim.errors import HwsimError, IllegalModel
from hwsim.fields import check_fields
from hwsim.op import Array, Op
from hwsim.spec import BipolarSpec, TensorSpec

LISTED = 4
"""A listing writes out tuples of up to this many values."""


@dataclass(frozen=True, slots=True)
class Node:
    """One use of an operator: its value is called `name`, its operands `inputs`."""

    name: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Graph:
    """Inputs and constants with their specs, nodes in topological order, outputs; `meta` says where it came from.

    `specs` holds every value's TensorSpec. Build one with `build`, which infers and checks them.
    """

    name: str
    inputs: tuple[str, ...]
    constants: Mapping[str, Array]
    specs: Mapping[str, TensorSpec]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """The node called `name`; raises UnknownName."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise unknown("node", name, (n.name for n in self.nodes))

    def inputs_of(self, node: Node) -> tuple[TensorSpec, ...]:
        """Specs of the node's operands."""
        return tuple(self.specs[name] for name in node.inputs)

    def last_uses(self) -> dict[str, int]:
        """For each value that a node makes or reads, the index of the last such node; outputs stay until the end."""
        last: dict[str, int] = {}
        for index, node in enumerate(self.nodes):
            for name in (*node.inputs, node.name):
                last[name] = index
        last.update((name, len(self.nodes)) for name in self.outputs)
        return last

    def to_networkx(self) -> nx.DiGraph:
        """Values as vertices with `kind`, `op` and `spec` as text (fit for GraphML), an edge from operand to result."""
        digraph = nx.DiGraph(name=self.name)
        for name in self.inputs:
            digraph.add_node(name, kind="input", op="", spec=str(self.specs[name]))
        for name in self.constants:
            digraph.add_node(name, kind="constant", op="", spec=str(self.specs[name]))
        for node in self.nodes:
            digraph.add_node(node.name, kind="node", op=op_name(node.op), spec=str(self.specs[node.name]))
            digraph.add_edges_from((name, node.name) for name in node.inputs)
        return digraph

    def __str__(self) -> str:
        head = f"graph {self.name}: {len(self.inputs)} input, {len(self.constants)} constants, {len(self.nodes)} nodes"
        lines = [head, *(f"  input {name}: {self.specs[name]}" for name in self.inputs)]
        width = max((len(node.name) for node in self.nodes), default=0)
        for node in self.nodes:
            attributes = "".join(f", {key}={_shown(value)}" for key, value in _telling(node.op).items())
            call = f"{op_name(node.op)}({', '.join(node.inputs)}{attributes})"
            lines.append(f"  {node.name:{width}}  {self.specs[node.name]!s:46}  {call}")
        return "\n".join([*lines, f"  output {', '.join(self.outputs)}"])


def build(
    name: str,
    inputs: Mapping[str, TensorSpec],
    constants: Mapping[str, tuple[Array, TensorSpec]],
    nodes: Iterable[Node],
    outputs: Iterable[str],
    meta: Mapping[str, Any] | None = None,
) -> Graph:
    """A checked Graph: specs inferred node by node, nodes that no output needs removed.

    Raises IllegalModel naming the node where an operator refuses its operands, or where the wiring is wrong.
    """
    specs: dict[str, TensorSpec] = dict(inputs)
    for key, (array, spec) in constants.items():
        if key in specs:
            raise IllegalModel(f"{key}: a value's name must be unique, got it twice; rename one")
        if spec.batched:
            raise IllegalModel(f"{key}: a constant has no batch, got {spec}; give it batched=False")
        if array.shape != spec.shape:
            raise IllegalModel(
                f"{key}: constant must have shape {spec.shape}, got {array.shape}; trace the model again"
            )
        _check_values(key, array, spec)
        specs[key] = spec
    ordered = tuple(nodes)
    for node in ordered:
        if node.name in specs:
            raise IllegalModel(f"{node.name}: a value's name must be unique, got it twice; rename one")
        for operand in node.inputs:
            if operand not in specs:
                raise IllegalModel(
                    f"{node.name}: an operand must come before its use, got {operand!r}; reorder the nodes"
                )
        try:
            check_attributes(type(node.op), op_attributes(node.op))
            specs[node.name] = node.op.infer(tuple(specs[operand] for operand in node.inputs))
        except (HwsimError, ValueError, IndexError) as error:
            raise IllegalModel(f"{node.name}: {error}") from None
    results = tuple(outputs)
    for result in results:
        if result not in specs:
            raise IllegalModel(f"{name}: an output must be a value of the graph, got {result!r}; name a node")
    live = _live(ordered, results)
    kept = {key: array for key, (array, _) in constants.items() if key in live}
    for array in kept.values():
        array.setflags(write=False)
    return Graph(
        name=name,
        inputs=tuple(inputs),
        constants=MappingProxyType(kept),
        specs=MappingProxyType({key: spec for key, spec in specs.items() if key in live or key in inputs}),
        nodes=tuple(node for node in ordered if node.name in live),
        outputs=results,
        meta=MappingProxyType(dict(meta or {})),
    )


def _check_values(key: str, array: Array, spec: TensorSpec) -> None:
    """Raise IllegalModel unless a constant holds what its spec says: finite floats, or codes that its grid has."""
    array = array[tuple(slice(None if step else 1) for step in array.strides)]  # what is repeated, once
    if spec.quant is None:
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise IllegalModel(
                f"{key}: a float constant must be finite, got NaN, infinity or {array.dtype}; export it again"
            )
        return
    if array.dtype.kind not in "iu":
        raise IllegalModel(f"{key}: codes must be integers, got {array.dtype}; export it again")
    low, high = int(array.min()), int(array.max())
    if low < spec.quant.qmin or high > spec.quant.qmax:
        raise IllegalModel(
            f"{key}: codes must be in {spec.quant.qmin}..{spec.quant.qmax}, got {low}..{high}; export it again"
        )
    if isinstance(spec.quant, BipolarSpec) and not array.all():
        raise IllegalModel(f"{key}: bipolar codes must be -1 or 1, got 0; export it again")


def is_product(graph: Graph, node: Node) -> bool:
    """Does `node` multiply integers, so that it has an accumulator?"""
    out = graph.specs[node.name]
    return out.quant is not None and node.op.gemm(graph.inputs_of(node), out) is not None


def op_name(op: Op) -> str:
    """The operator's name: its class's name in lower case, which is its file's name without underscores."""
    return type(op).__name__.lower()


def op_attributes(op: Op) -> dict[str, Any]:
    """The operator's attributes by name."""
    return {key: getattr(op, key) for key in getattr(op, "__dataclass_fields__", {})}


def check_attributes(kind: type[Op], values: Mapping[str, Any]) -> None:
    """Raise ValueError where an attribute of an operator `kind` is not of its declared type: no float for an integer."""
    if is_dataclass(kind):
        check_fields(kind.__name__.lower(), kind, values, "lower it again")


def _telling(op: Op) -> dict[str, Any]:
    """The attributes worth a place in the listing: neither the spec, which stands there as the type, nor defaults."""
    fields = getattr(op, "__dataclass_fields__", {})
    return {key: value for key, value in op_attributes(op).items() if key != "spec" and value != fields[key].default}


def _shown(value: Any) -> str:
    """`value`, or how many there are of what and within which bounds, where they are many."""
    if isinstance(value, tuple) and len(value) > LISTED:
        return f"{len(value)}x({min(value)}..{max(value)})"
    return str(value)


def _live(nodes: tuple[Node, ...], outputs: tuple[str, ...]) -> set[str]:
    live = set(outputs)
    for node in reversed(nodes):
        if node.name in live:
            live.update(node.inputs)
    return live
