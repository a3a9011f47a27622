"""Extra units: what a quantized graph asks of hardware beside an array of integer multiply-accumulates, and how often.

Plain are products of codes without a zero point on the right side, one multiplier and shift per output channel, and the
models' own float functions. Extra, each with what it does for one image:

    shifter              an operand's codes are powers of two (S14, log2 grids): a shift in place of each multiplication
    conditional shifter  an operand's codes have a flag (S14, twin grids): a shift by m or none at each multiplication
    mantissa banks       its codes are powers of two times one of several mantissas (S14, log-sqrt2): beside the shifts one
                         sum per mantissa, and a multiplication and an addition per further mantissa and output
    encoder              finds such a code by comparing with boundaries, where others are rounded
    constant             S14's constant (eta of SULQ): sums of the other operand, and one correction per output
    row sums             the right operand has a zero point: sums of the left one's codes, one correction per output
    column sums          the left one has one and the right one is no constant: sums of the right one's codes
    partial sums         a layer is a product per group of channels (PEG): for each further group a rescaling and an addition
                         per output
    channel scales       a LayerNorm reads codes with scales per channel: a shift per element where they are powers of two
                         times one number (FQ-ViT's factors), else a multiplication
    norms on q and k     of Q-ViT's rectification

What a unit does is charged: `counted` among the actions of the cost model (`Op.count`), or `as mac`, since a shift stands in
the place of a multiplication that is counted at the width of the code. What costs nothing is no unit: zero
points of activations before a constant operand and real offsets (both are in the bias), scales per head or output channel.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.cost.groups import group_of, role_of
from hwsim.graph import Graph, Node, op_name
from hwsim.op import Action, Gemm
from hwsim.spec import FLOAT_BITS, MAX_BITS, IntegerSpec, QuantSpec, ShiftSpec, TensorSpec

SHIFTER, CONDITIONAL, BANKS, ENCODER = "shifter", "conditional shifter", "mantissa banks", "encoder"
CONSTANT, ROW_SUMS, COLUMN_SUMS = "constant", "row sums", "column sums"
PARTIAL, CHANNELS, NORMS = "partial sums", "channel scales", "norms on q and k"
UNITS = (SHIFTER, CONDITIONAL, BANKS, ENCODER, CONSTANT, ROW_SUMS, COLUMN_SUMS, PARTIAL, CHANNELS, NORMS)
"""All units, in the order in which they are told."""
COUNTED, AS_MAC = "counted", "as mac"
"""Where a unit is charged."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit `name`, which `nodes` nodes of the graph need; `actions` is what it does for one image."""

    name: str
    nodes: int
    actions: Counter[Action]

    @property
    def charged(self) -> str:
        """Where it is charged: COUNTED among the cost model's actions, or AS_MAC."""
        return AS_MAC if self.name in (SHIFTER, CONDITIONAL) else COUNTED

    @property
    def times(self) -> int:
        """Its actions for one image, of all kinds."""
        return self.actions.total()


def extra_units(graph: Graph) -> tuple[Unit, ...]:
    """The extra units of `graph`, in the order of UNITS; none of them where it needs none."""
    nodes: Counter[str] = Counter()
    actions: dict[str, Counter[Action]] = {}
    makers = {node.name: node for node in graph.nodes}
    rectified = bool(graph.meta.get("rectified", True))
    for node in graph.nodes:
        for name, done in _of(node, graph, makers, rectified):
            nodes[name] += 1
            actions.setdefault(name, Counter()).update(done)
    return tuple(Unit(name, nodes[name], actions[name]) for name in UNITS if name in nodes)


def requantizes_by_shift(graph: Graph) -> bool:
    """Whether every scale of every product's operands is a power of two, so that no accumulator needs a multiplier."""
    products = [node for node in graph.nodes if group_of(node.name, node.op) != "elementwise"]
    grids = [spec.quant for node in products for spec in graph.inputs_of(node)]
    return bool(grids) and all(grid is not None and all(map(_is_power, grid.scale)) for grid in grids)


def _is_power(scale: float) -> bool:
    return math.frexp(scale)[0] == 0.5


def _of(node: Node, graph: Graph, makers: dict[str, Node], rectified: bool) -> Iterator[tuple[str, Counter[Action]]]:
    """The units that `node` needs."""
    inputs, out = graph.inputs_of(node), graph.specs[node.name]
    if group_of(node.name, node.op) != "elementwise":
        gemm = node.op.gemm(inputs, out)
        a, b = inputs[0].quant, inputs[1].quant
        if gemm is not None and a is not None and b is not None:
            yield from _of_product(gemm, a, b)
        return
    role = role_of(node.name, node.op, inputs, rectified)
    made = getattr(node.op, "spec", None)
    if isinstance(made, ShiftSpec) and op_name(node.op) == "quantize":
        yield ENCODER, node.op.count(inputs, out)
    elif op_name(node.op) == "add" and _of_partial(node, makers):
        yield PARTIAL, node.op.count(inputs, out) + Counter({Action("dequantize", MAX_BITS, FLOAT_BITS): out.elements})
    elif role == "qk_norm":
        yield NORMS, node.op.count(inputs, out)
    elif role == "layernorm" and (read := _codes_before(node, graph, makers)) is not None:
        yield from _of_channels(read)


def _of_product(gemm: Gemm, a: IntegerSpec, b: IntegerSpec) -> Iterator[tuple[str, Counter[Action]]]:
    """What grids of operands ask for that are not uniform, or have a zero point that is not constant in the sum."""
    outputs = gemm.batch * gemm.m * gemm.n
    left, right = gemm.batch * gemm.m * gemm.k, gemm.batch * gemm.k * gemm.n
    for grid, other in ((a, gemm.b_bits), (b, gemm.a_bits)):
        if isinstance(grid, ShiftSpec):
            yield from _of_table(grid, other, gemm.macs, outputs)
    if isinstance(a, ShiftSpec) and a.zero and not gemm.b_static:
        yield CONSTANT, Counter({Action("add", gemm.b_bits, MAX_BITS): right, _CORRECTION: outputs})
    if isinstance(b, ShiftSpec) and b.zero:
        yield CONSTANT, Counter({Action("add", gemm.a_bits, MAX_BITS): left, _CORRECTION: outputs})
    if isinstance(b, QuantSpec) and any(b.zero_point):
        yield ROW_SUMS, Counter({Action("add", gemm.a_bits, MAX_BITS): left, _CORRECTION: outputs})
    if isinstance(a, QuantSpec) and any(a.zero_point) and not gemm.b_static:
        yield COLUMN_SUMS, Counter({Action("add", gemm.b_bits, MAX_BITS): right, _CORRECTION: outputs})


_CORRECTION = Action("add", MAX_BITS, MAX_BITS)


def _of_table(grid: ShiftSpec, other: int, macs: int, outputs: int) -> Iterator[tuple[str, Counter[Action]]]:
    """The units by which codes of `grid` are multiplied with codes of `other` bits."""
    pairs = [(abs(s), shift) for s, shift in zip(grid.significand, grid.shift, strict=True) if s]
    mantissas, shifts = {s for s, _ in pairs}, {shift for _, shift in pairs}
    shifted = Counter({Action("shift", other, MAX_BITS): macs})
    if len(shifts) == 1:
        return
    yield (CONDITIONAL if len(mantissas) > 1 and len(shifts) == 2 else SHIFTER), shifted
    if grid.banks > 1:
        further = (grid.banks - 1) * outputs
        yield BANKS, Counter({Action("mul", MAX_BITS, MAX_BITS): further, _CORRECTION: further})


def _of_partial(node: Node, makers: dict[str, Node]) -> bool:
    """Whether the addition `node` adds the rescaled accumulators of a further product of a layer (`qkv_1` beside `qkv`)."""
    for maker in (makers.get(name) for name in node.inputs):
        if maker is not None and op_name(maker.op) == "dequantize":
            product, first = (makers.get(name) for name in (maker.inputs[0], _FURTHER.sub("", maker.inputs[0])))
            if (
                product is not None
                and first is not None
                and first is not product
                and type(first.op) is type(product.op)
            ):
                return True
    return False


_FURTHER = re.compile(r"_\d+$")


def _codes_before(node: Node, graph: Graph, makers: dict[str, Node]) -> TensorSpec | None:
    """The codes that a norm reads, as floats of them, with a scale for each channel; None where it reads no such."""
    maker = makers.get(node.inputs[0])
    if maker is None or op_name(maker.op) != "dequantize":
        return None
    spec = graph.specs[maker.inputs[0]]
    return spec if spec.quant is not None and spec.quant.axis == len(spec.shape) - 1 else None


def _of_channels(read: TensorSpec) -> Iterator[tuple[str, Counter[Action]]]:
    assert read.quant is not None
    scales = read.quant.scale
    if len(set(scales)) > 1:
        kind = "shift" if all(_is_power(scale / scales[0]) for scale in scales) else "mul"
        yield CHANNELS, Counter({Action(kind, read.bits, MAX_BITS if kind == "shift" else FLOAT_BITS): read.elements})
