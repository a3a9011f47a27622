"""A graph as an accelerator runs it: its stages, at any widths, equal ones together.

    program(graph)                       the stages of a graph, as it is
    .at(4, 4)  .at(32, 32)               at other uniform widths; the ends (patch embedding, heads) at 8 bits unless said
    .mixed({"blocks.0.mlp.fc1": (4, 2)})  with these products at these widths, left operand and right

Widths can only be lowered and raised within 1..8, and then changed to 32, float: the way back needs the graph. Sizes are
of one image.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from hwsim import catalog
from hwsim.accel.flow import OUTSIDE, Feed, Flow, Value, flow
from hwsim.cost.work import Rows, Work, with_bits, with_widths, work
from hwsim.errors import HwsimError
from hwsim.graph import Graph
from hwsim.op import Action, Gemm
from hwsim.spec import FLOAT_BITS, MAX_BITS

BY_ROWS = ("softmax", "layernorm", "qk_norm")
"""Roles of vector work that must see a whole row of its input before it can give the first element."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`elements` of `bits` each that a stage reads from memory or writes to it; `stays` is how many bytes of memory for
    activations it takes (for one image) to keep it on chip, infinite where it comes from outside or is asked for there."""

    elements: int
    bits: int
    stays: float = math.inf


@dataclass(frozen=True, slots=True)
class Stage:
    """`times` equal products, named `nodes`, each with what it reads and writes and the vector work behind it.

    a, b: the product's operands, b's `stays` is infinite where it is constant. reads, writes: other values that cross
    to or from another stage. parameters: stored numbers that the vector work reads, those of the whole graph that no node
    names (tokens, positions, in integer forms biases too) at the first. by_rows, elementwise: its actions.
    made: elements that it makes, by role (`hwsim.cost.groups.role_of`).
    """

    nodes: tuple[str, ...]
    group: str
    gemm: Gemm
    a: Tensor
    b: Tensor
    reads: tuple[Tensor, ...]
    writes: tuple[Tensor, ...]
    parameters: int
    by_rows: Mapping[Action, int]
    elementwise: Mapping[Action, int]
    made: Mapping[str, int]

    @property
    def times(self) -> int:
        """How many products it stands for."""
        return len(self.nodes)

    @property
    def actions(self) -> dict[Action, int]:
        """All vector work behind one of them."""
        total = Counter(self.by_rows)
        total.update(self.elementwise)
        return dict(total)


@dataclass(frozen=True, eq=False)
class Program:
    """The stages of a graph at given widths. Rows are those of `hwsim.cost.work`, for each node of the graph."""

    name: str
    flow: Flow
    rows: tuple[Work, ...]

    @property
    def products(self) -> tuple[str, ...]:
        """The products' nodes, in network order."""
        return self.flow.products

    @cached_property
    def widths(self) -> dict[str, tuple[int, int]]:
        """Bits of the two operands of each product."""
        return {row.node: (row.gemm.a_bits, row.gemm.b_bits) for row in self.rows if row.gemm is not None}

    @property
    def groups(self) -> dict[str, str]:
        """The group of layers of each product."""
        return {row.node: row.group for row in self.rows if row.gemm is not None}

    @cached_property
    def weight_bytes(self) -> float:
        """Bytes of all stored numbers: operands of products packed at their bits, other parameters as 32-bit floats."""
        stored = sum(row.weights * row.gemm.b_bits for row in self.rows if row.gemm is not None)
        return (stored + FLOAT_BITS * sum(row.parameters for row in self.rows)) / 8

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(row.macs for row in self.rows)

    def at(self, weights: int, activations: int, ends: int = 8) -> "Program":
        """At these bits, 1..8 or 32; see `hwsim.cost.work.with_bits`, which says what raises HwsimError."""
        return dataclasses.replace(self, rows=with_bits(self.rows, weights, activations, ends))

    def mixed(self, widths: Mapping[str, tuple[int, int]]) -> "Program":
        """With these products at these bits of left and right operand, the others as they are.

        Raises UnknownName for a node that is no product, HwsimError for bits that are not 1..8 or 32.
        """
        for node, pair in widths.items():
            if node not in self.flow.stage_of or node not in self.widths:
                raise catalog.unknown("product", node, self.products)
            for bits in pair:
                if isinstance(bits, bool) or not isinstance(bits, int) or not (1 <= bits <= 8 or bits == FLOAT_BITS):
                    raise HwsimError(f"{node}: bits must be 1..8 or 32, got {bits!r}; 32 is float")
        return dataclasses.replace(self, rows=with_widths(self.rows, widths))

    def stages(self, float_bits: int = FLOAT_BITS, merged: bool = True) -> tuple[Stage, ...]:
        """One stage per product in network order, or equal ones `merged`, where floats are stored at `float_bits`."""
        known: dict[tuple[int, bool], tuple[Stage, ...]] = self.__dict__.setdefault("_stages", {})
        key = float_bits, merged
        if key not in known:
            known[key] = _merged(self.stages(float_bits, False)) if merged else tuple(_stages(self, float_bits))
        return known[key]


def program(graph: Graph, rows: Rows | None = None) -> Program:
    """The program of `graph`; `rows` are those of `hwsim.cost.work.work(graph)`, made here if not given.

    Raises HwsimError for a graph without products.
    """
    return Program(graph.name, flow(graph), tuple(work(graph) if rows is None else rows))


def _stages(of: Program, float_bits: int) -> list[Stage]:
    flow = of.flow
    vector: list[list[Work]] = [[] for _ in flow.products]
    gemms: dict[str, Work] = {}
    for row in of.rows:
        if row.node in flow.stage_of:
            vector[flow.stage_of[row.node]].append(row)
            if row.gemm is not None:
                gemms[row.node] = row
    tensors = _tensors(flow, of.widths, float_bits)
    written: list[list[Tensor]] = [[] for _ in flow.products]
    for name, value in flow.values.items():
        if value.born != OUTSIDE:
            tensor = tensors[name]
            written[value.born].append(dataclasses.replace(tensor, stays=math.inf) if value.output else tensor)
    others = max(0, sum(row.parameters for row in of.rows if row.node not in flow.stage_of))
    stages = []
    for index, product in enumerate(flow.products):
        gemm = gemms[product].gemm
        assert gemm is not None
        sides = flow.operands[index]
        a = _operand(tensors.get(sides[0] or ""), gemm.batch * gemm.m * gemm.k, _stored(gemm.a_bits, float_bits))
        held = None if gemm.b_static else tensors.get(sides[1] or "")
        b = _operand(held, gemms[product].weights or gemm.batch * gemm.k * gemm.n, _stored(gemm.b_bits, float_bits))
        stages.append(
            Stage(
                nodes=(product,),
                group=gemms[product].group,
                gemm=gemm,
                a=a,
                b=b,
                reads=tuple(tensors[name] for name in flow.readers[index] if name in tensors and name not in sides),
                writes=tuple(written[index]),
                parameters=sum(row.parameters for row in vector[index]) + (0 if index else others),
                by_rows=_summed(row for row in vector[index] if row.role in BY_ROWS),
                elementwise=_summed(row for row in vector[index] if row.role not in BY_ROWS),
                made=_made(vector[index]),
            )
        )
    return stages


def _operand(tensor: Tensor | None, elements: int, bits: int) -> Tensor:
    """A product's operand: the value that crosses, or of a slice of it the `elements` that the product takes."""
    if tensor is None:
        return Tensor(elements, bits)
    return Tensor(min(tensor.elements, elements), bits, tensor.stays)


def _stored(bits: int, float_bits: int) -> int:
    return float_bits if bits == FLOAT_BITS else bits


def _tensors(flow: Flow, widths: Mapping[str, tuple[int, int]], float_bits: int) -> dict[str, Tensor]:
    """The values that cross, with the memory that it takes for each to stay on chip.

    Memory is given in the order of their lives, the shortest first: a value stays where it fits beside all before it, at
    every stage of its life.
    """
    bits = {name: _stored(_bits(value, widths), float_bits) for name, value in flow.values.items()}
    used = [0.0] * len(flow.products)
    stays = {}
    for name, value in sorted(flow.values.items(), key=lambda item: (item[1].last - item[1].born, item[1].elements)):
        if value.born == OUTSIDE:
            continue
        span = range(value.born, max(value.last, value.born) + 1)
        for stage in span:
            used[stage] += value.elements * bits[name] / 8
        stays[name] = max(used[stage] for stage in span)
    return {name: Tensor(value.elements, bits[name], stays.get(name, math.inf)) for name, value in flow.values.items()}


def _bits(value: Value, widths: Mapping[str, tuple[int, int]]) -> int:
    """A value's bits: those of the operand that it is, the widest where it is several."""
    fed: tuple[Feed, ...] = value.feeds
    return max((widths[node][side] for node, side in fed), default=min(value.bits, MAX_BITS))


def _summed(rows: Iterable[Work]) -> dict[Action, int]:
    total: Counter[Action] = Counter()
    for row in rows:
        for action, count in row.actions.items():
            if action.kind != "mac":
                total[action] += count
    return dict(total)


def _made(rows: Iterable[Work]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for row in rows:
        if row.gemm is None and row.actions:
            total[row.role] += row.elements
    return dict(total)


def _merged(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    same: dict[object, list[Stage]] = {}
    for stage in stages:
        actions = tuple(frozenset(counts.items()) for counts in (stage.by_rows, stage.elementwise, stage.made))
        key = (stage.group, stage.gemm, stage.a, stage.b, stage.reads, stage.writes, stage.parameters, actions)
        same.setdefault(key, []).append(stage)
    return tuple(
        dataclasses.replace(found[0], nodes=tuple(node for stage in found for node in stage.nodes))
        for found in same.values()
    )
