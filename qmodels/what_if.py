"""What if the accumulators were narrower (S15), or bits flipped (S16): the arithmetic of a study, in words and in code."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwsim.graph import Graph, Node
from hwsim.op import Array
from hwsim.simulator import Environment, Execute, run_node
from hwsim.study.accumulators import Accumulator, Overflow
from hwsim.study.faults import Flips


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Accumulators of `acc_bits` (None: as wide as needed), and `flips`, each written `node:bit:rate`."""

    acc_bits: int | None = None
    overflow: str = "wrap"
    tile_k: int = 0
    flips: tuple[str, ...] = ()
    seed: int = 0

    def __bool__(self) -> bool:
        return self.acc_bits is not None or bool(self.flips)

    def __str__(self) -> str:
        words = []
        if self.acc_bits is not None:
            tiles = f" in tiles of {self.tile_k}" if self.tile_k else ""
            words.append(f"{self.acc_bits}-bit accumulators{tiles}, {self.overflow}")
        if self.flips:
            words.append(f"flips {' '.join(self.flips)}, seed {self.seed}")
        return "; ".join(words)


@dataclass(slots=True)
class Arithmetic:
    """An executor of the arithmetic of `what_if`, with its counts; raises HwsimError where `graph` does not fit it."""

    graph: Graph
    what_if: WhatIf
    overflows: dict[str, Overflow] = field(default_factory=dict, init=False)
    flips: dict[str, int] = field(default_factory=dict, init=False)
    _execute: Execute = field(init=False, repr=False)

    def __post_init__(self) -> None:
        execute: Execute = run_node
        wanted = self.what_if
        if wanted.acc_bits is not None:
            accumulator = Accumulator(wanted.acc_bits, wanted.overflow, wanted.tile_k)
            self.overflows, execute = accumulator.overflows, accumulator
        if wanted.flips:
            faults = Flips.parse(self.graph, wanted.flips, wanted.seed, execute)
            self.flips, execute = faults.flipped, faults
        self._execute = execute

    def __call__(self, graph: Graph, node: Node, values: Environment) -> Array:
        """The node's value."""
        return self._execute(graph, node, values)

    def join(self, overflows: Mapping[str, Overflow], flips: Mapping[str, int]) -> None:
        """Take in the counts of further images; of values that no image changes, they are the same."""
        for node, new in overflows.items():
            old = self.overflows.get(node)
            self.overflows[node] = _both(old, new) if old and self.graph.specs[node].batched else new
        for name, count in flips.items():
            self.flips[name] = count + (self.flips.get(name, 0) if self.graph.specs[name].batched else 0)


def _both(one: Overflow, other: Overflow) -> Overflow:
    counts = (one.narrowings + other.narrowings, one.overflowed + other.overflowed, one.outputs + other.outputs)
    return Overflow(*counts)
