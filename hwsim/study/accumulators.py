"""How wide must the accumulator of a product be (S15), and what if it is narrower?

All is about acc = sum over k of (a - za)(b - zb), the sum of S3 (or that of the integers of S14). Three ranges, from the
safest to the tightest:

- `codes`: no operands whatever, within their code ranges, can make a sum outside; what `build` proves to fit 32 bits.
- `weights`: no activations whatever can, with the constants that the graph has. Per output n

      low = sum over k of min(0, w xmin, w xmax),   high = sum over k of max(0, w xmin, w xmax),   w = b[k, n] - zb

  where xmin..xmax is the range of a - za; some activation attains it (unless the operand has several zero points, or
  padding stands at the place). Equal to `codes` where both operands are activations.
- `seen`: the sums of the images at hand, nothing else.

The first two hold for the sum over any subset of the k, and so for every partial sum in any order: an accumulator of so
many bits never overflows, however it tiles or saturates. `seen` holds for finished sums alone: with so many bits these
images are exact with `wrap`, which forgets what happened on the way, but `saturate` and `error` may still meet a partial
sum that does not fit.
"""

import threading
from dataclasses import dataclass, field, replace

import numpy as np

from hwsim.catalog import unknown
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, is_product
from hwsim.kernels.narrow_gemm import narrow_gemm
from hwsim.kernels.tier import together
from hwsim.op import Array, bounds
from hwsim.simulator import CHUNK, Environment, Execute, Progress, run_node, simulate
from hwsim.spec import MAX_BITS, IntegerSpec, QuantSpec, ShiftSpec, TensorSpec, signed_bits

OVERFLOWS = ("wrap", "saturate", "error")


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers from `low` to `high`."""

    low: int
    high: int

    @property
    def bits(self) -> int:
        """Bits of the narrowest two's-complement integer that holds them all."""
        return signed_bits(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Width:
    """What the accumulator of one product must hold: `k` products of operands `a` and `b`; `static` if one is constant."""

    node: str
    k: int
    a: IntegerSpec
    b: IntegerSpec
    static: bool
    codes: Range
    weights: Range


def widths(graph: Graph, *, corrected: bool = True) -> tuple[Width, ...]:
    """The widths of every integer product of `graph`, in its order.

    corrected=False: of the sum of the raw codes, for hardware that takes zero points (S3) and S14's constants off
    afterwards; the correction is not in it.
    """
    return tuple(_width(graph, node, corrected) for node in graph.nodes if is_product(graph, node))


def seen(
    graph: Graph,
    feeds: dict[str, Array],
    *,
    threads: int | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
    execute: Execute = run_node,
) -> dict[str, Range]:
    """For every integer product the range of its sums on `feeds`; holds the graph's outputs and one chunk per thread.

    For images that come in parts, give a `Seen` to `simulate`.
    """
    watch = Seen(execute)
    simulate(graph, feeds, threads=threads, chunk=chunk, progress=progress, execute=watch)
    return watch.ranges


@dataclass(slots=True)
class Seen:
    """An executor that runs nodes by another and notes in `ranges` what the products gave, over all its calls."""

    execute: Execute = run_node
    ranges: dict[str, Range] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __call__(self, graph: Graph, node: Node, values: Environment) -> Array:
        """The node's value, noted if it is a product."""
        value = self.execute(graph, node, values)
        if is_product(graph, node):
            low, high = int(value.min()), int(value.max())
            with self._lock:
                old = self.ranges.get(node.name, Range(low, high))
                self.ranges[node.name] = Range(min(old.low, low), max(old.high, high))
        return value


@dataclass(frozen=True, slots=True)
class Overflow:
    """Of one product: how many narrowings changed a value, and how many of the `outputs` are not the exact sum."""

    narrowings: int
    overflowed: int
    outputs: int


@dataclass(slots=True)
class Accumulator:
    """An executor whose products sum in one register of `bits` bits per output (S15); other nodes run as they are.

    k ascends; each sum of `tile_k` products (0: of all) is narrowed and added to the register, and that sum is narrowed
    again. overflow: `wrap` keeps the low bits, `saturate` clamps, `error` raises HwsimError when a narrowing changes a
    value, saying how many bits the images of that chunk need. `overflows` counts per node over all calls; floats do not
    come here. It computes products itself, so it is the innermost of executors: `Flips.parse(graph, [...],
    execute=Accumulator(20, "wrap"))`.
    """

    bits: int
    overflow: str = "error"
    tile_k: int = 0
    overflows: dict[str, Overflow] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MAX_BITS:
            raise ValueError(f"Accumulator: bits must be 2..{MAX_BITS}, got {self.bits}")
        if self.overflow not in OVERFLOWS:
            raise unknown("overflow", self.overflow, OVERFLOWS)
        if self.tile_k < 0:
            raise ValueError(f"Accumulator: tile_k must be 0 or more, got {self.tile_k}; 0 sums the whole K exactly")

    def __call__(self, graph: Graph, node: Node, values: Environment) -> Array:
        """The node's value; that of a product from the narrow accumulator."""
        if not is_product(graph, node):
            return run_node(graph, node, values)
        quant = graph.specs[node.name].quant
        assert quant is not None
        if quant.bits <= self.bits:  # proven to fit
            value, counts = run_node(graph, node, values), (0, 0)
        else:
            value, counts = _narrow(graph, node, values, self.bits, self.overflow == "saturate", self.tile_k)
            if counts[0] and self.overflow == "error":
                wanted = _needed(graph, node, values, self.bits, self.tile_k)
                raise HwsimError(
                    f"{node.name}: accumulator needs {wanted} bits, got {self.bits}; "
                    "raise acc_bits, let it wrap or saturate, or lower the bits of an operand"
                )
        self._note(node.name, Overflow(*counts, value.size), graph.specs[node.name].batched)
        return value

    def _note(self, name: str, new: Overflow, batched: bool) -> None:
        with self._lock:
            old = self.overflows.get(name, Overflow(0, 0, 0)) if batched else Overflow(0, 0, 0)
            self.overflows[name] = Overflow(
                old.narrowings + new.narrowings, old.overflowed + new.overflowed, old.outputs + new.outputs
            )


def _narrow(
    graph: Graph, node: Node, values: Environment, bits: int, saturate: bool, tile_k: int
) -> tuple[Array, tuple[int, int]]:
    """The product's value from a register of `bits` bits; narrowings that changed a value, and inexact outputs."""
    counts = (0, 0)

    def multiply(a: Array, b: Array) -> Array:
        nonlocal counts
        a, b = together(a), together(b)
        out = np.empty((a.shape[0], a.shape[1], b.shape[2]), dtype=np.int32)
        left, right = np.ascontiguousarray(a, dtype=np.int32), np.ascontiguousarray(b)
        counts = narrow_gemm(left, right, bits, saturate, tile_k or a.shape[2], out)
        return out

    operands = tuple(values[name] for name in node.inputs)
    return node.op.product(operands, graph.inputs_of(node), multiply), counts


def _needed(graph: Graph, node: Node, values: Environment, bits: int, tile_k: int) -> int:
    """The fewest bits at which no narrowing changes a value; more than `bits`."""
    wider = (n for n in range(bits + 1, MAX_BITS) if _narrow(graph, node, values, n, False, tile_k)[1][0] == 0)
    return next(wider, MAX_BITS)


def _width(graph: Graph, node: Node, corrected: bool) -> Width:
    inputs = graph.inputs_of(node)
    view, a, b = node.op.gemm(inputs, graph.specs[node.name]), inputs[0].quant, inputs[1].quant
    assert view is not None
    assert a is not None
    assert b is not None
    inputs = inputs if corrected else tuple(_raw(spec) for spec in inputs)
    (a_low, a_high), (b_low, b_high) = bounds(inputs[0]), bounds(inputs[1])
    corners = [view.k * x * y for x in (a_low, a_high) for y in (b_low, b_high)]
    codes = Range(min(0, *corners), max(0, *corners))
    fixed = next((i for i in (1, 0) if node.inputs[i] in graph.constants), None)
    weights = codes if fixed is None else _weights(graph, node, inputs, fixed)
    return Width(node.name, view.k, a, b, fixed is not None, codes, weights)


def _weights(graph: Graph, node: Node, inputs: tuple[TensorSpec, ...], fixed: int) -> Range:
    """The range of the sums with the constant operand number `fixed`, whatever codes the other holds."""
    other = inputs[1 - fixed]
    assert other.quant is not None
    ends = bounds(other)
    values = [np.zeros(other.shape, other.quant.container)] * 2
    values[fixed] = graph.constants[node.inputs[fixed]]
    lows, highs = [], []

    def multiply(a: Array, b: Array) -> Array:
        a, b = together(a), together(b)
        matrix = (a, b)[fixed].astype(np.int64)
        terms = np.stack([matrix * ends[0], matrix * ends[1], np.zeros_like(matrix)])
        lows.append(int(terms.min(axis=0).sum(axis=2 - fixed).min()))
        highs.append(int(terms.max(axis=0).sum(axis=2 - fixed).max()))
        return np.zeros((a.shape[0], a.shape[1], b.shape[2]), dtype=np.int32)

    node.op.product(tuple(values), inputs, multiply)
    return Range(min(lows), max(highs))


def _raw(spec: TensorSpec) -> TensorSpec:
    """The spec with zero points 0, so that its codes count as they are (those of S14 as what they are shifted to)."""
    match spec.quant:
        case QuantSpec():
            return replace(spec, quant=replace(spec.quant, zero_point=(0,) * len(spec.quant.zero_point)))
        case ShiftSpec():
            boundaries = tuple(value + spec.quant.zero for value in spec.quant.boundaries)
            return replace(spec, quant=replace(spec.quant, zero=0, boundaries=boundaries))
        case _:
            return spec
