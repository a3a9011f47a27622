"""Flipped bits (S16): what a soft error costs.

Every element of a value has the bit flipped with probability `rate`, independently of all others:

    q' = q xor 2^bit      in two's complement of the value's own width (unsigned where the codes are); bipolar: q' = -q

so a flipped code is a code, an accumulator stays within its proven width, and every width that was proven (S3) still
holds. Accumulators are those of product nodes: of their proven width, or of the `Accumulator`'s where that is narrower.

Which elements are hit is decided by the seed, the value's name, the image's index in the data set and the place within
the image (Philox, keyed with a BLAKE2b hash of them): neither threads, nor chunks, nor a data set given in parts
(`simulate(..., first=)`) change it, and what a rate flips, a higher rate flips as well. A constant is flipped once, as in
a memory: every image meets the same wrong weights, of which `widths` knows nothing.
"""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Self

import numpy as np
import numpy.typing as npt

from hwsim.catalog import unknown
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, is_product
from hwsim.op import Array
from hwsim.simulator import Environment, Execute, run_node
from hwsim.spec import BipolarSpec, IntegerSpec
from hwsim.study.accumulators import Accumulator


@dataclass(frozen=True, slots=True)
class Flip:
    """Flip `bit` (0 is the lowest; `msb`, the highest; `*`, one at random) of each element that is hit, at `rate`.

    pattern: the name of a node or constant with codes, or a glob: `*` and `?` also match dots. A glob passes over floats
    and over nodes that only move codes (S9), lest one memory be counted twice; a name in full does not.
    """

    pattern: str
    bit: int | str
    rate: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `node:bit:rate`, as in `blocks.*.mlp.fc1:msb:1e-4`."""
        parts = text.rsplit(":", 2)
        if len(parts) != 3 or not parts[0]:
            raise HwsimError(f"flip: a fault is node:bit:rate, got {text!r}; write it as blocks.*.mlp.fc1:msb:1e-4")
        pattern, bit, rate = parts
        if bit not in ("msb", "*") and not (bit.isascii() and bit.isdigit()):
            raise HwsimError(f"{pattern}: a bit is 0 or more, msb or *, got {bit!r}; 0 is the lowest")
        try:
            value = float(rate)
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1:
            raise HwsimError(f"{pattern}: a rate is a probability 0..1, got {rate!r}; 1e-4 is one in ten thousand")
        return cls(pattern, int(bit) if bit.isdigit() else bit, value)


@dataclass(slots=True)
class Flips:
    """An executor that runs nodes by another, `execute`, and flips bits of what they give; `flipped` counts per name.

    Several faults of one value happen one after the other, each with draws of its own. Make one with `parse`; faults are
    checked against the graph that is going to be simulated, and raise HwsimError.
    """

    graph: Graph
    flips: tuple[Flip, ...]
    seed: int = 0
    execute: Execute = run_node
    flipped: dict[str, int] = field(default_factory=dict, init=False)
    _faults: dict[str, list[Flip]] = field(default_factory=dict, init=False, repr=False)
    _constants: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, graph: Graph, texts: Iterable[str], seed: int = 0, execute: Execute = run_node) -> Self:
        """From texts `node:bit:rate` (see `Flip`)."""
        return cls(graph, tuple(Flip.parse(text) for text in texts), seed, execute)

    def __post_init__(self) -> None:
        for flip in self.flips:
            for name in _matches(self.graph, flip.pattern):
                bits = self._bits(name)
                if isinstance(flip.bit, int) and flip.bit >= bits:
                    raise HwsimError(
                        f"{name}: a bit of it is 0..{bits - 1}, got {flip.bit}; give a lower one, msb or *"
                    )
                self._faults.setdefault(name, []).append(flip)
        self.flipped.update((name, 0) for name in self._faults)
        for name in self._faults:
            if name in self.graph.constants:
                self._constants[name] = self._hit(name, self.graph.constants[name], 0)

    def __call__(self, graph: Graph, node: Node, values: Environment) -> Array:
        """The node's value with its faults, made of constants with theirs."""
        if not self._constants.keys().isdisjoint(node.inputs):
            values = Environment({**values, **self._constants}, values.first)
        value = self.execute(graph, node, values)
        return self._hit(node.name, value, values.first) if node.name in self._faults else value

    def _hit(self, name: str, value: Array, first: int) -> Array:
        """A copy of `value` with the faults of `name`; its first image has the index `first`."""
        spec, bits = self.graph.specs[name], self._bits(name)
        quant = spec.quant
        assert quant is not None
        out = value.copy()
        images = out.reshape(-1, spec.elements)
        count = 0
        for number, flip in enumerate(self._faults[name]):
            for index, codes in enumerate(images):
                image = first + index if spec.batched else "all"
                places, chosen = _draw(f"{self.seed}:{number}:{image}:{name}", codes.size, flip, bits)
                codes[places] = toggled(codes[places], chosen, bits, quant)
                count += places.size
        with self._lock:
            self.flipped[name] = count + (self.flipped[name] if spec.batched else 0)
        return out

    def _bits(self, name: str) -> int:
        """Bits of the value as it is kept."""
        quant = self.graph.specs[name].quant
        assert quant is not None
        if not isinstance(self.execute, Accumulator) or name in self.graph.constants:
            return quant.bits
        return min(quant.bits, self.execute.bits) if is_product(self.graph, self.graph.node(name)) else quant.bits


def toggled(codes: Array, bit: npt.NDArray[np.int64], bits: int, quant: IntegerSpec) -> Array:
    """Each of the codes (any shape) with its `bit` (0..bits-1, same shape) flipped, in codes of `bits` bits; int64."""
    wide = codes.astype(np.int64)
    if isinstance(quant, BipolarSpec):
        return -wide
    mask = np.left_shift(np.int64(1), bit)  # that of the sign is negative: it flips all bits above as well
    return np.asarray(wide ^ np.where(quant.signed & (bit == bits - 1), -mask, mask))


def _draw(key: str, size: int, flip: Flip, bits: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Which of `size` elements are hit, and the bit of each."""
    source = np.random.Philox(key=int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "little"))
    uniform = source.random_raw(size) >> np.uint64(11)  # the raw stream is the same in every version of NumPy
    places = np.flatnonzero(uniform < flip.rate * 2.0**53)
    if flip.bit == "*":
        return places, (source.random_raw(places.size) % np.uint64(bits)).astype(np.int64)
    return places, np.full(places.size, bits - 1 if flip.bit == "msb" else flip.bit, dtype=np.int64)


def _matches(graph: Graph, pattern: str) -> list[str]:
    """The values that the pattern names, in the order of the graph."""
    known = [*graph.constants, *(node.name for node in graph.nodes)]
    if pattern in known:
        if graph.specs[pattern].quant is None:
            raise HwsimError(
                f"{pattern}: codes and accumulators have bits, got {graph.specs[pattern]}; name an integer"
            )
        return [pattern]
    matched = [name for name in known if fnmatchcase(name, pattern)]
    if not matched:
        raise unknown("node", pattern, known)
    movers = {node.name for node in graph.nodes if not node.op.count(graph.inputs_of(node), graph.specs[node.name])}
    found = [name for name in matched if graph.specs[name].quant is not None and name not in movers]
    if not found:
        raise HwsimError(
            f"{pattern}: a glob matches codes that a node computes, got none in {len(matched)} matches; name one in full"
        )
    return found
