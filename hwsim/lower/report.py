"""integer_report: is this really integer? Every node of a graph is exact, of a definition of its own, a float island, or
illegal (no integer form, with the remedy); and what of a graph is float at all."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.graph import Graph, Node, op_attributes, op_name
from hwsim.lower.domains import LAYOUT
from hwsim.op import Array
from hwsim.ops.add import Add
from hwsim.ops.concat import Concat
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.mul import Mul
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.simulator import run_node, simulate
from hwsim.spec import describe

KINDS = ("exact", "own_definition", "float_island", "illegal")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one node is: `kind` of KINDS; `detail` says how it computes, whose definition it is, or how to mend it.

    Where distances were measured: the largest and the root mean square difference to the float function, clipped to what
    the node's codes can hold, in steps of them and as reals; elsewhere None.
    """

    node: str
    op: str
    kind: str
    detail: str
    inserted: bool = False
    distance_steps: float | None = None
    distance_max: float | None = None
    distance_rms: float | None = None


def integer_report(
    graph: Graph, feeds: Mapping[str, Array] | None = None, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Verdict, ...]:
    """One verdict per node, in the order of the graph; distances of own definitions are measured on `feeds`."""
    distances = _distances(graph, feeds, progress) if feeds else {}
    return tuple(_verdict(graph, node, distances.get(node.name)) for node in graph.nodes)


def float_parts(graph: Graph) -> tuple[str, ...]:
    """Everything of `graph` that is float: values, constants, attributes; scales, being labels on a wire, are not."""
    return tuple(_float_parts(graph))


def _float_parts(graph: Graph) -> Iterator[str]:
    for name, spec in graph.specs.items():
        if spec.quant is None:
            yield f"{name}: a float value"
    for name, array in graph.constants.items():
        if array.dtype.kind not in "iu":
            yield f"{name}: a {array.dtype} constant"
    for node in graph.nodes:
        for key, value in op_attributes(node.op).items():
            if _holds_float(value):
                yield f"{node.name}: attribute {key} of {op_name(node.op)}"


def _holds_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, tuple) and any(map(_holds_float, value)))


def _verdict(graph: Graph, node: Node, distance: tuple[float, float, float] | None) -> Verdict:
    kind, detail = _kind(graph, node)
    inserted = node.name in graph.meta.get("inserted", ())
    steps, most, rms = distance or (None, None, None)
    return Verdict(node.name, op_name(node.op), kind, detail, inserted, steps, most, rms)


def _kind(graph: Graph, node: Node) -> tuple[str, str]:
    op, inputs, out = node.op, graph.inputs_of(node), graph.specs[node.name]
    if op.stands_for:
        return "own_definition", f"{op.stands_for} by {op.source}"
    if op.gemm(inputs, out) is not None and out.quant is None:
        names = ", ".join(name for name, spec in zip(node.inputs, inputs, strict=True) if spec.quant is None)
        return "illegal", f"a product of floats ({names}); quantize them at 8 bits or fewer"
    if isinstance(op, Mul) and all(spec.batched for spec in inputs):
        return "illegal", "a product of two activations, element by element; replace it in the model"
    if isinstance(op, Dequantize):
        return "float_island", "from integers to floats, the way into an island"
    if isinstance(op, Quantize):
        return "float_island", "from floats to codes, the way out of an island"
    if out.quant is None:
        does = "moves" if isinstance(op, (*LAYOUT, Concat)) else "computes in"
        return "float_island", f"{does} floats; `hwsim integerize` makes them integers"
    return "exact", _exact(node, describe(out.quant))


def _exact(node: Node, format_: str) -> str:
    if isinstance(node.op, Requantize):
        shifts = all(multiplier.bit_count() < 2 for multiplier in node.op.multiplier)
        by = "shifts alone" if shifts else f"{max(node.op.multiplier).bit_length()}-bit multipliers"
        return f"to {format_}, {by}, {node.op.rounding}"
    if isinstance(node.op, Add) and node.op.bits:
        return f"{format_}, saturates"
    return format_


def _distances(
    graph: Graph, feeds: Mapping[str, Array], progress: Callable[[int, int], None] | None
) -> dict[str, tuple[float, float, float]]:
    """Node -> largest difference in steps, as a real, and root mean square, of those with a definition of their own."""
    sums: dict[str, list[float]] = {}
    lock = threading.Lock()

    def watch(graph: Graph, node: Node, values: Mapping[str, Array]) -> Array:
        value = run_node(graph, node, values)
        if node.op.stands_for and graph.specs[node.name].quant is not None:
            inputs, out = graph.inputs_of(node), graph.specs[node.name]
            assert out.quant is not None
            assert inputs[0].quant is not None
            wanted = node.op.reference(inputs[0].quant.to_real(values[node.inputs[0]]), inputs, out)
            holds = out.quant.to_real(out.quant.codebook())
            apart = np.abs(out.quant.to_real(value) - np.clip(wanted, holds.min(), holds.max()))
            with lock:
                row = sums.setdefault(node.name, [0.0, 0.0, 0.0])
                row[0] = max(row[0], float(apart.max()))
                row[1] += float((apart**2).sum())
                row[2] += apart.size
        return value

    simulate(graph, feeds, progress=progress, execute=watch)
    found = {}
    for name, (most, squares, count) in sums.items():
        quant = graph.specs[name].quant
        assert quant is not None
        found[name] = (most / min(quant.scale), most, float(np.sqrt(squares / count)))
    return found
