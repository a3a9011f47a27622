"""Measure what `hwsim.accel.activity` defines, while a graph runs.

Each product's `Op.product` is asked for its matrices, so that whatever it does to its operands (windows, padding, groups,
heads) is in what is measured. All is counted in integers, and added: threads, chunks and parts of a data set cannot change
a number.
"""

import threading
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from hwsim.accel.activity import GROUPS, Activity, OperandActivity, Operands, Readings, Toggled
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, is_product
from hwsim.kernels.kernel import inline_kernel, kernel
from hwsim.kernels.tier import together
from hwsim.op import Array, bounds
from hwsim.ops._product import centred
from hwsim.simulator import Environment, Execute, run_node
from hwsim.spec import MAX_BITS, BipolarSpec, IntegerSpec, QuantSpec, ShiftSpec, signed_bits

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Seen = tuple[OperandActivity, OperandActivity]
"""An operand raw and centred."""


@dataclass(slots=True)
class Measure:
    """An executor for `graph` that runs nodes by another and counts the codes that products read, over all its calls.

    Constants are counted once. With flipped bits it goes inside: `Flips(graph, ..., execute=Measure(graph))`. Raises
    HwsimError for a graph without integer products.
    """

    graph: Graph
    execute: Execute = run_node
    _names: tuple[str, ...] = field(init=False, repr=False)
    _seen: dict[tuple[str, int], Seen] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._names = tuple(node.name for node in self.graph.nodes if is_product(self.graph, node))
        if not self._names:
            raise HwsimError(
                f"{self.graph.name}: activity is of integer products, got a graph without; quantize the model"
            )

    def __call__(self, graph: Graph, node: Node, values: Environment) -> Array:
        """The node's value; the operands are counted if it is a product."""
        if is_product(graph, node):
            for side, spec in enumerate(graph.inputs_of(node)):
                if spec.batched or (node.name, side) not in self._seen:
                    self._add((node.name, side), observed(graph, node, values, side))
        return self.execute(graph, node, values)

    def activity(self, images: int) -> Activity:
        """What all calls showed, of `images` images in all."""
        sides = {name: zip(self._seen[name, 0], self._seen[name, 1], strict=True) for name in self._names}
        products = {name: Readings(*(Operands(a, b) for a, b in both)) for name, both in sides.items()}
        return Activity(graph=self.graph.name, images=images, products=products)

    def _add(self, key: tuple[str, int], new: Seen) -> None:
        with self._lock:
            old = self._seen.get(key)
            self._seen[key] = (old[0].joined(new[0]), old[1].joined(new[1])) if old else new


def observed(graph: Graph, node: Node, values: Environment, side: int) -> Seen:
    """Operand `side` of the product `node`, raw and centred: of the images in `values`, or of one where it is constant."""
    spec, codes = graph.inputs_of(node)[side], values[node.inputs[side]]
    quant, constant = spec.quant, not spec.batched
    assert quant is not None
    bipolar = isinstance(quant, BipolarSpec)
    streams = _streams(graph, node, side, (codes + 1) >> 1 if bipolar else codes, _padding(quant))
    raw = counted(streams, quant.bits, quant.signed and not bipolar, bipolar, constant)
    if bipolar or (isinstance(quant, QuantSpec) and not any(quant.zero_point)):
        return raw, raw
    low, high = bounds(spec)
    bits = signed_bits(low, high) - (low >= 0)
    return raw, counted(_streams(graph, node, side, centred(codes, spec), 0), bits, low < 0, False, constant)


def _padding(quant: IntegerSpec) -> int:
    """The code that a convolution pads with: of the real 0, or 0 where there is none."""
    if isinstance(quant, ShiftSpec):
        return int(np.argmax(quant.values() == 0))
    return quant.zero_point[0]


def _streams(graph: Graph, node: Node, side: int, integers: Array, padding: int) -> Int32:
    """What `node` multiplies at `side` if that operand is these integers, (S, L, K): along K, L next to each other."""
    inputs = graph.inputs_of(node)
    view = node.op.gemm(inputs, graph.specs[node.name])
    assert view is not None
    images = integers.shape[0] // inputs[side].shape[0] if inputs[side].batched else 1
    values, specs, found = [], [], []
    for index, spec in enumerate(inputs):
        shape = (spec.shape[0] * (images if spec.batched else 1), *spec.shape[1:])
        values.append(integers if index == side else np.broadcast_to(np.int8(0), shape))  # which takes no memory
        specs.append(replace(spec, quant=QuantSpec(MAX_BITS, True, (1.0,), (padding if index == side else 0,))))

    def keep(a: Array, b: Array) -> Array:
        a, b = together(a), together(b)
        found.append(a.reshape(-1, view.m, view.k) if side == 0 else b.transpose(0, 2, 1))
        return np.zeros((a.shape[0], a.shape[1], b.shape[2]), np.int8)

    node.op.product(tuple(values), tuple(specs), keep, raw=True)
    return np.ascontiguousarray(found[0], np.int32)


def counted(streams: Int32, bits: int, signed: bool, bipolar: bool, constant: bool) -> OperandActivity:
    """The activity of streams (S, L, K) of integers of `bits` bits."""
    widths, sums = np.zeros((1 + len(GROUPS), bits + 1), np.int64), np.zeros(3, np.int64)
    count(streams, bits, signed, int(bipolar), *GROUPS, LENGTHS, ONES, widths, sums)
    apart, lanes, length = streams.shape
    set_bits, toggled, toggled_across = sums.tolist()
    every, of_16, of_256 = (tuple(row) for row in widths.tolist())
    return OperandActivity(
        bits=bits,
        constant=constant,
        set_bits=set_bits,
        widths=every,
        group_widths_16=of_16,
        group_widths_256=of_256,
        along=Toggled(toggled, apart * lanes * (length - 1)),
        across=Toggled(toggled_across, apart * (lanes - 1) * length),
    )


LENGTHS: Bytes = np.array([value.bit_length() for value in range(256)], np.uint8)
ONES: Bytes = np.array([value.bit_count() for value in range(256)], np.uint8)


def _count(
    streams: Int32,
    bits: int,
    signed: bool,
    least: int,
    narrow: int,
    wide: int,
    lengths: Bytes,
    ones: Bytes,
    widths: Int64,
    sums: Int64,
) -> None:
    """Add what is seen of streams (S, L, K).

    To widths (3, bits + 1) the codes and the groups by width, at least `least`; to sums the set bits of |q|, the bits that
    toggle along K, and those across L.
    """
    mask = (1 << bits) - 1
    for s in range(streams.shape[0]):
        for lane in range(streams.shape[1]):
            row = streams[s, lane]
            above = streams[s, max(lane - 1, 0)]
            last = set_bits = toggled = toggled_across = np.int64(0)
            for start in range(0, row.shape[0], wide):
                widest = 0
                for part in range(start, min(start + wide, row.shape[0]), narrow):
                    most = 0
                    for k in range(part, min(part + narrow, row.shape[0])):
                        q, up = np.int64(row[k]), np.int64(above[k])
                        width = least
                        if q != 0:
                            width = int(signed) + bit_length(~q if q < 0 else q, lengths)
                        widths[0, width] += 1
                        most = max(most, width)
                        set_bits += bit_count(abs(q), ones)
                        toggled += bit_count((q ^ (last if k else q)) & mask, ones)
                        toggled_across += bit_count((q ^ up) & mask, ones)
                        last = q
                    widths[1, most] += 1
                    widest = max(widest, most)
                widths[2, widest] += 1
            sums[0] += set_bits
            sums[1] += toggled
            sums[2] += toggled_across


def _bit_length(value: np.int64, lengths: Bytes) -> int:
    """The place of the highest set bit, from 1, of a value that is not negative; 0 of 0."""
    skipped = 0
    while value > 255:
        value >>= 8
        skipped += 8
    return int(skipped + lengths[value])


def _bit_count(value: np.int64, ones: Bytes) -> int:
    """Set bits of a value that is not negative."""
    total = 0
    while value > 255:
        total += ones[value & 255]
        value >>= 8
    return int(total + ones[value])


bit_length, bit_count, count = inline_kernel(_bit_length), inline_kernel(_bit_count), kernel(_count)
