"""A precision scheme: how many MACs a PE does per cycle at given operand widths, and along which dimension they lie.

A scheme is a file of `hwsim/accel/schemes`, chosen by `scheme = "<file name>"` in a machine's table `[precision]`; the other
keys are its fields. It answers with a `Packing`: a PE takes m x k x n operands side by side, and a step of the stream
takes `passes` cycles, so that a GEMM (M, K) x (K, N) runs as (ceil(M/m), ceil(K/k)) x (ceil(K/k), ceil(N/n)).

Zeros: with `skips`, passes shrink to the fraction of operands that are not zero, as if the PEs never waited for each
other; of both operands the product, as if zeros were independent. That bounds the gain from above.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hwsim import catalog
from hwsim.accel.reading import Place, Table, checked, shown, written
from hwsim.accel.unit import Unit
from hwsim.errors import BadFile, HwsimError, UnknownName

SCHEMES = "hwsim.accel.schemes"
FLOAT_BITS = 32


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand of a product: codes of `bits` (32 is a float), `zeros` (0..1) of them zero codes.

    `taken` are the mean bits of a code that a bit-serial unit streams; below zero, as by default, it takes all `bits`.
    """

    bits: int
    taken: float = -1.0
    zeros: float = 0.0

    def __post_init__(self) -> None:
        if self.taken < 0:
            object.__setattr__(self, "taken", float(self.bits))


@dataclass(frozen=True, slots=True)
class Packing:
    """Operands that a PE takes side by side along M, K and N, and cycles that a step of the stream takes."""

    m: int
    k: int
    n: int
    passes: float


class Scheme(Table):
    """Base of all schemes: a subclass says how integers are packed (`pack`), its fields are the keys of `[precision]`."""

    skips: Literal["none", "activations", "weights", "both"] = "none"
    """Operands whose zeros cost no cycle: of the left (`activations`), of the right, whether it is a constant or not."""

    @property
    def name(self) -> str:
        """The scheme's file name."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def widest(self) -> int:
        """Bits of the widest operand that it takes; whatever is narrower than a float it takes in passes."""
        return FLOAT_BITS - 1

    @property
    def unit(self) -> Unit:
        """What one PE is built of, for its price."""
        raise TypeError(f"{type(self).__name__} has no unit")

    def pack(self, a: Operand, b: Operand) -> Packing:
        """The packing of operands without regard to their zeros."""
        raise TypeError(f"{type(self).__name__} does not pack")

    def packing(self, a: Operand, b: Operand) -> Packing:
        """The packing of left operands `a` and right operands `b`; raises HwsimError where the PEs cannot take them."""
        for operand in (a, b):
            if not 1 <= operand.bits <= self.widest:
                raise HwsimError(
                    f"precision {self.name}: operands must have 1 to {self.widest} bits, got {operand.bits}; "
                    'quantize them, or take scheme = "fixed" with bits = 32'
                )
        packed = self.pack(a, b)
        kept = (1 - a.zeros if self.skips in ("activations", "both") else 1.0) * (
            1 - b.zeros if self.skips in ("weights", "both") else 1.0
        )
        return Packing(packed.m, packed.k, packed.n, packed.passes * kept)

    def peak(self, a_bits: int, b_bits: int) -> float:
        """MACs per PE and cycle at these widths, where no operand is zero and every bit is taken."""
        packed = self.packing(Operand(a_bits), Operand(b_bits))
        return packed.m * packed.k * packed.n / packed.passes


def names() -> tuple[str, ...]:
    """All schemes."""
    return catalog.names(SCHEMES)


def read(values: Any, where: str, under: Place = ("precision",)) -> Scheme:
    """The scheme that a table of the file `where` chooses; raises BadFile in one line."""
    key = written(under)
    if not isinstance(values, Mapping):
        got = "nothing" if values is None else shown(values)
        raise BadFile(f'{where}: {key} must be a table, got {got}; write [{key}] with scheme = "fixed"')
    fields = dict(values)
    name = fields.pop("scheme", None)
    if not isinstance(name, str):
        got = "nothing" if name is None else shown(name)
        raise BadFile(f'{where}: {key}.scheme must be a text, got {got}; write scheme = "fixed"')
    try:
        kind: type[Scheme] = catalog.find(SCHEMES, name)
    except UnknownName:
        known = ", ".join(f'"{one}"' for one in catalog.nearest(name, names()))
        raise BadFile(f'{where}: {key}.scheme must be one of {known}, got "{name}"; take the nearest') from None
    return checked(kind, fields, where, under)


def passes(bits: int, width: int) -> int:
    """Passes of operands of `bits` through multipliers of `width` bits."""
    return -(-bits // width)
