"""What a graph asks of hardware, node by node: the rows that every cost convention prices.

`work(graph)` asks each node's operator (`gemm`, `count`) once; `with_bits` prices the same rows at other widths, so that
one trace serves all of them. A last row, `parameters`, stands for what is stored beside the operands of the products,
the biases and the norms: tokens, positions. Figures are for one image.

Accumulators are counted at the width of their container, 32 bits. Run-time sums for zero points are counted as traced:
`with_bits` keeps them, whatever the zero points would be at the other width.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hwsim.cost.extras import ZERO_POINT, Extra, extras_of
from hwsim.cost.groups import ENDS, VIEWS, group_of, role_of
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, op_name
from hwsim.op import Action, Gemm, Op
from hwsim.spec import FLOAT_BITS, MAX_BITS, QuantSpec, TensorSpec

PARAMETERS = "parameters"
"""Name of the row that stands for stored numbers that are no operand of a product, a norm or a bias."""

_MOVES = ("roll", "pad")
"""Operators that move codes as they are."""

_WITH_PARAMETERS = ("layernorm", "qk_norm", "bias")
"""Roles whose constant operands are parameters as they stand; others are made of them (Swin's table of positions)."""


@dataclass(frozen=True, slots=True)
class Work:
    """One node's work: its operator, group (see `groups`) and role, its GEMM view, its actions, and its output.

    `weights` are the stored elements of a product's constant operand, at `gemm.b_bits` each; `parameters` are stored
    floats; `extras` are what quantization stores beside them. `serves` names the product whose operand a quantize makes
    (or a roll or a padding moves), or whose accumulator a dequantize reads. `times` is how many equal nodes the row stands
    for (see `condense`).
    """

    node: str
    op: str
    group: str
    role: str
    gemm: Gemm | None = None
    actions: Counter[Action] = dataclasses.field(default_factory=Counter)
    shape: tuple[int, ...] = ()
    weights: int = 0
    parameters: int = 0
    serves: str = ""
    times: int = 1
    extras: Counter[Extra] = dataclasses.field(default_factory=Counter)

    @property
    def elements(self) -> int:
        """Elements that the node makes for one image."""
        return math.prod(self.shape) if self.shape else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates, 0 where it is no product."""
        return self.gemm.macs if self.gemm else 0


Rows = Sequence[Work]


def work(graph: Graph) -> tuple[Work, ...]:
    """One row per node of `graph`, in its order, and the row of the other parameters.

    How many parameters there are is `graph.meta["parameters"]`, or else what the graph's constants hold; whether norms on
    q and k are a method's, `graph.meta["rectified"]`; constants that are no parameters, `graph.meta["neutral"]`.
    """
    rectified = bool(graph.meta.get("rectified", True))
    specs = _accumulators_widened(graph)
    serves = _served(graph)
    scaled = {serves[node.name] for node in graph.nodes if op_name(node.op) == "dequantize"}
    stored = set(graph.meta.get("neutral", ()))
    own = graph.constants.keys() - stored
    rows = []
    for node in graph.nodes:
        inputs = tuple(specs[name] for name in node.inputs)
        role = role_of(node.name, node.op, inputs, rectified)
        row = _row(node, role, inputs, specs[node.name], serves.get(node.name, ""))
        held = [name for name in node.inputs if name in graph.constants and name not in stored]
        if row.gemm is not None:
            held = held if len(node.inputs) == 2 and held == [node.inputs[1]] else []
            floats = specs[node.name].quant is None or node.name in scaled
            weight = specs[node.inputs[1]].quant if held and floats else None
            row = dataclasses.replace(
                row, weights=sum(specs[name].elements for name in held), extras=extras_of(node.op, weight)
            )
        elif row.role in _WITH_PARAMETERS:
            row = dataclasses.replace(row, parameters=sum(specs[name].elements for name in held))
        else:
            held = []
        stored.update(held)
        rows.append(row)
    known = graph.meta.get("parameters", sum(specs[name].elements for name in own))
    rest = int(known) - sum(row.weights + row.parameters for row in rows)
    return (*rows, Work(PARAMETERS, "constant", "elementwise", "parameters", parameters=rest))


def with_bits(rows: Rows, weights: int, activations: int, ends: int = 8) -> tuple[Work, ...]:
    """`rows` of a quantized graph at other widths: 1..8, or 32 for float; the patch embedding and the heads at `ends`.

    All operands of attention products are activations. At W32A32 everything is float, the ends too. Conversions that
    float operands do not need disappear, so widths can be lowered again only from rows that are still quantized. So do
    norms that a method puts on q and k for their quantizers, with their parameters.
    """
    for value in (weights, activations, ends):
        if isinstance(value, bool) or not isinstance(value, int) or not (1 <= value <= 8 or value == FLOAT_BITS):
            raise HwsimError(f"with_bits: bits must be 1..8 or 32, got {value!r}; 32 is float")
    if weights == activations == FLOAT_BITS:
        ends = FLOAT_BITS
    return with_widths(
        rows, {row.node: _widths(row, row.gemm, weights, activations, ends) for row in rows if row.gemm is not None}
    )


def with_widths(rows: Rows, widths: Mapping[str, tuple[int, int]]) -> tuple[Work, ...]:
    """`rows` with the operands of each product that `widths` names at these bits, left and right; 32 is float.

    What quantizes an operand follows the left one. Else as `with_bits`: from floats there is no way back.
    """
    products = {
        row.node: _repriced(row, row.gemm, *_checked(row, row.gemm, widths.get(row.node)))
        for row in rows
        if row.gemm is not None
    }
    rectified = any(row.group == "qk" and row.gemm and row.gemm.a_bits != FLOAT_BITS for row in products.values())
    priced = []
    for row in rows:
        if row.gemm is not None:
            priced.append(products[row.node])
        elif row.role == "qk_norm" and not rectified:
            continue
        elif row.serves not in products:
            priced.append(row)
        elif (converted := _converted(row, products[row.serves].gemm)) is not None:
            priced.append(converted)
    return tuple(priced)


def published_parameters(rows: Rows) -> int:
    """Parameters of the published architecture: without those of norms that a method puts on q and k."""
    return sum(row.weights + row.parameters for row in rows if row.role != "qk_norm")


def full_precision(rows: Rows) -> bool:
    """Whether every product has float operands."""
    return all(row.gemm.a_bits == row.gemm.b_bits == FLOAT_BITS for row in rows if row.gemm is not None)


def _row(node: Node, role: str, inputs: tuple[TensorSpec, ...], out: TensorSpec, serves: str) -> Work:
    op = node.op
    if type(op).count is Op.count:
        raise HwsimError(
            f"{node.name}: an operator needs a rule to be counted, got {op_name(op)}; give its class a count method"
        )
    return Work(
        node.name,
        op_name(op),
        group_of(node.name, op),
        role,
        op.gemm(inputs, out),
        op.count(inputs, out),
        out.shape,
        serves=serves,
        extras=extras_of(op),
    )


def _accumulators_widened(graph: Graph) -> dict[str, TensorSpec]:
    """The specs of `graph`, accumulators at the width of their container."""
    specs = dict(graph.specs)
    for node in graph.nodes:
        spec = specs[node.name]
        if isinstance(spec.quant, QuantSpec) and group_of(node.name, node.op) != "elementwise":
            quant = dataclasses.replace(spec.quant, bits=MAX_BITS)
            specs[node.name] = dataclasses.replace(spec, quant=quant)
    return specs


def _served(graph: Graph) -> dict[str, str]:
    """For each node that makes codes, or floats of codes, the product that it does so for."""
    nodes = {node.name: node for node in graph.nodes}
    serves: dict[str, str] = {}
    for node in graph.nodes:
        if group_of(node.name, node.op) != "elementwise":
            for operand in node.inputs:
                *between, source = _way(operand, nodes)
                if source in nodes and op_name(nodes[source].op) == "quantize":
                    serves.setdefault(source, node.name)
                    serves.update((name, node.name) for name in between if op_name(nodes[name].op) in _MOVES)
    for node in graph.nodes:
        if op_name(node.op) == "dequantize":
            source = _way(node.inputs[0], nodes)[-1]
            product = source in nodes and group_of(source, nodes[source].op) != "elementwise"
            serves[node.name] = source if product else serves.get(source, "")
    return serves


def _way(name: str, nodes: dict[str, Node]) -> list[str]:
    """From the value `name` back to what it is a view of, or a shifted or padded copy: that comes last."""
    way = [name]
    while way[-1] in nodes and op_name(nodes[way[-1]].op) in (*VIEWS, *_MOVES):
        way.append(nodes[way[-1]].inputs[0])
    return way


def _widths(row: Work, gemm: Gemm, weights: int, activations: int, ends: int) -> tuple[int, int]:
    if row.group in ENDS:
        return ends, ends
    return activations, weights if gemm.b_static else activations


def _checked(row: Work, gemm: Gemm, widths: tuple[int, int] | None) -> tuple[int, int]:
    """The widths of a product's operands, its own where none are asked for."""
    if widths is None:
        return gemm.a_bits, gemm.b_bits
    for old, new in zip((gemm.a_bits, gemm.b_bits), widths, strict=True):
        if old == FLOAT_BITS and new != FLOAT_BITS:
            raise HwsimError(
                f"with_bits: rows must come from a graph whose operands are quantized, got floats at {row.node}; "
                "trace the model at lower bits"
            )
    return widths


def _repriced(row: Work, gemm: Gemm, a_bits: int, b_bits: int) -> Work:
    if (gemm.a_bits, gemm.b_bits) == (a_bits, b_bits):
        return row
    actions: Counter[Action] = Counter()
    for action, times in row.actions.items():
        if action.kind == "mac":
            actions[Action("mac", a_bits, b_bits)] += times
        elif FLOAT_BITS not in (a_bits, b_bits):  # sums of codes for zero points; those of weights alone are static
            operand = action.a_bits if action.a_bits == MAX_BITS else a_bits
            actions[Action(action.kind, operand, action.b_bits)] += times
    view = Gemm(gemm.batch, gemm.m, gemm.k, gemm.n, a_bits, b_bits, gemm.b_static)
    return _changed(row, actions, b_bits, view)


def _converted(row: Work, gemm: Gemm | None) -> Work | None:
    """A quantize or dequantize at the widths of the product it serves; None where float operands do without it."""
    assert gemm is not None
    bits = gemm.a_bits
    if row.op in _MOVES:
        return _changed(row, _count("move", bits, bits, row.actions.total()), bits)
    if bits == FLOAT_BITS:
        return None
    if row.op == "quantize":
        return _changed(row, _count("quantize", FLOAT_BITS, bits, row.actions.total()), bits)
    of_accumulator = all(action.a_bits == MAX_BITS for action in row.actions)
    if of_accumulator:
        return None if gemm.b_bits == FLOAT_BITS else row
    return _changed(row, _count("dequantize", bits, FLOAT_BITS, row.actions.total()), bits)


@lru_cache(maxsize=4096)
def _count(kind: str, a_bits: int, b_bits: int, times: int) -> Counter[Action]:
    """One object for equal arguments: nobody changes the actions of a row."""
    return Counter({Action(kind, a_bits, b_bits): times})


def _changed(row: Work, actions: Counter[Action], bits: int, gemm: Gemm | None = None) -> Work:
    """`row` with other actions, its grid at `bits`; like `replace`, in half the time."""
    extras = row.extras
    if extras:
        extras = Counter()
        for extra, count in row.extras.items() if bits != FLOAT_BITS else ():
            extras[_at(extra, bits)] += count
    return Work(
        row.node,
        row.op,
        row.group,
        row.role,
        gemm,
        actions,
        row.shape,
        row.weights,
        row.parameters,
        row.serves,
        row.times,
        extras,
    )


def _at(extra: Extra, bits: int) -> Extra:
    return Extra(ZERO_POINT, bits) if extra.kind == ZERO_POINT else extra
