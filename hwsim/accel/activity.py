"""Measured activity of the integer codes that products read: what a machine whose cycles or energy follow the data meets.

Of each operand of each integer product, a left (activations) and b right, over the codes of the GEMM view (G, M, K) x
(G, K, N) as they enter an array: windows of a convolution count as often as they are read, and padding counts. In two
readings, for a machine has one or the other:

- `raw`: codes as they are stored, in `bits` bits, with their zero point in them (S1); of a ShiftSpec (S14) the codes, not
  the integers that they stand for; of a bipolar grid one bit, 1 for +1. Zero points are taken off the sums later (S3).
- `centred`: what codes stand for, q - zero_point, or S14's integers, subtracted (looked up) before the array, in as many
  bits as the grid then needs, often one more. On grids without a zero point, and bipolar ones, the same as `raw`.

Of the integers q of a reading, in two's complement unless none can be negative:

- `zeros`: the share of q = 0. Centred these are all real zeros, raw only what adds nothing to a sum of raw codes.
- width: what is left when leading bits that say nothing are not sent. 5 = 101 has 3 unsigned; signed, 3 = 011 and -4 = 100
  have 3, -1 has 1; 0 has none, and a bipolar code always 1.
- `mean_bits`, `group_bits`: means of max(1, width) over codes, and over groups of 16 or 256 consecutive codes along K, each
  as wide as its widest: a step takes a cycle at least (our rule). The last group of a row of a or column of b may be
  shorter and counts as one, for it is one step. Machines that trim: Stripes (MICRO 2016) per layer, Dynamic Stripes (arXiv
  1706.00504) and Loom (arXiv 1706.07853) by groups at run time. Sizes of their groups are recalled, the measure is ours.
- `ones`: set bits of |q|, the steps of a unit that visits essential bits alone (Pragmatic, arXiv 1610.06920, recalled).
- `toggles`: share of the `bits` wires that change between neighbours along K, as codes follow each other in an output
  stationary array; `toggles_across`: along M (a) or N (b), as they follow each other where the other operand stays. Two
  streams never touch: each row of each product of each image is one. Uniform random codes give 0.5.

Everything is kept as sums of integers, so that parts of a data set, in any order, join to the same numbers as the whole.
"""

import json
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwsim.accel.strict_json import read_object
from hwsim.catalog import unknown
from hwsim.errors import BadFile, HwsimError
from hwsim.files import write_text

FORMAT = "hwsim activity 1"
READINGS = ("raw", "centred")
GROUPS = (16, 256)
"""How many consecutive codes share a width, in what is measured."""

MAX_WIDTH = 33
"""Bits of the widest integers there are: a code of 32 bits, less its zero point."""

Count = Annotated[int, Field(ge=0)]
Counts = tuple[Count, ...]


class Toggled(NamedTuple):
    """Bits that differ between neighbours, over so many pairs of neighbours."""

    bits: Count
    pairs: Count


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class OperandActivity(_Strict):
    """One operand in one reading; `constant` if no image changes it (weights): then its codes are counted once.

    widths: codes by width 0..bits; group_widths_16 and _256: groups by the width of their widest code; set_bits: of all
    |q|; along and across: toggled bits and pairs of neighbours.
    """

    bits: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    constant: bool
    set_bits: Count
    widths: Counts
    group_widths_16: Counts
    group_widths_256: Counts
    along: Toggled
    across: Toggled

    @model_validator(mode="after")
    def _adds_up(self) -> "OperandActivity":
        for name in ("widths", "group_widths_16", "group_widths_256"):
            counts = getattr(self, name)
            if len(counts) != self.bits + 1 or not sum(counts):
                raise ValueError(f"{name} must count widths 0..{self.bits}, got {list(counts)}")
        for name, bits, codes in (
            ("set_bits", self.set_bits, self.count),
            ("along", *self.along),
            ("across", *self.across),
        ):
            if bits > codes * self.bits:
                raise ValueError(f"{name} must be at most {codes} times {self.bits} bits, got {bits}")
        return self

    @property
    def count(self) -> int:
        """How many codes were seen."""
        return sum(self.widths)

    @property
    def zeros(self) -> float:
        """The share that is 0."""
        return self.widths[0] / self.count

    @property
    def mean_bits(self) -> float:
        """Mean bits that a unit streams that trims every code by itself; 1..bits."""
        return _mean(self.widths)

    def group_bits(self, size: int) -> float:
        """Mean bits that a unit streams where `size` (16 or 256) codes along K wait for the widest; 1..bits."""
        if size not in GROUPS:
            raise ValueError(f"group_bits: measured are groups of {' and '.join(map(str, GROUPS))}, got {size}")
        return _mean(self.group_widths_16 if size == GROUPS[0] else self.group_widths_256)

    @property
    def ones(self) -> float:
        """Mean set bits of the magnitude."""
        return self.set_bits / self.count

    @property
    def toggles(self) -> float:
        """The share of bits that change from code to code along K; 0 where K is 1."""
        return _share(self.along, self.bits)

    @property
    def toggles_across(self) -> float:
        """The share of bits that change from code to code along M (a) or N (b); 0 where that is 1."""
        return _share(self.across, self.bits)

    def joined(self, other: "OperandActivity") -> "OperandActivity":
        """That of both parts of a data set; constants, which no image changes, stay as they are.

        Raises HwsimError where the two are not of one operand.
        """
        if (self.bits, self.constant) != (other.bits, other.constant) or (self.constant and self != other):
            raise HwsimError("parts must be of one operand, got others; measure them with the same graph")
        if self.constant:
            return self
        return OperandActivity(
            bits=self.bits,
            constant=False,
            set_bits=self.set_bits + other.set_bits,
            widths=_sums(self.widths, other.widths),
            group_widths_16=_sums(self.group_widths_16, other.group_widths_16),
            group_widths_256=_sums(self.group_widths_256, other.group_widths_256),
            along=Toggled(*_sums(self.along, other.along)),
            across=Toggled(*_sums(self.across, other.across)),
        )


class Operands(NamedTuple):
    """The two operands of a product: a left (activations), b right (weights, or the other activations)."""

    a: OperandActivity
    b: OperandActivity

    def joined(self, other: "Operands") -> "Operands":
        """Those of both parts of a data set."""
        return Operands(self.a.joined(other.a), self.b.joined(other.b))


class Readings(NamedTuple):
    """A product's operands in both readings."""

    raw: Operands
    centred: Operands

    def joined(self, other: "Readings") -> "Readings":
        """Those of both parts of a data set."""
        return Readings(self.raw.joined(other.raw), self.centred.joined(other.centred))


class Activity(_Strict):
    """The activity of every product of the graph called `graph` with two integer operands, over `images` images."""

    graph: str
    images: Annotated[int, Field(ge=1)]
    products: Annotated[dict[str, Readings], Field(min_length=1)]

    def of(self, product: str, reading: str = "raw") -> Operands:
        """The operands of the node `product`; raises UnknownName, as for one with a float operand."""
        if product not in self.products:
            raise unknown("product", product, self.products)
        if reading not in READINGS:
            raise unknown("reading", reading, READINGS)
        found = self.products[product]
        return found.raw if reading == "raw" else found.centred

    def joined(self, other: "Activity") -> "Activity":
        """That of both parts of a data set; raises HwsimError where they are not of one graph."""
        if self.graph != other.graph or self.products.keys() != other.products.keys():
            raise HwsimError(f"{self.graph}: parts must be of one graph, got {other.graph}; join what belongs together")
        products = {}
        for name, mine in self.products.items():
            try:
                products[name] = mine.joined(other.products[name])
            except HwsimError as error:
                raise HwsimError(f"{name}: {error}") from None
        return Activity(graph=self.graph, images=self.images + other.images, products=products)

    def write(self, path: Path) -> None:
        """Write it as JSON; raises BadFile."""
        products = {
            name: {
                reading: {side: seen.model_dump() for side, seen in operands._asdict().items()}
                for reading, operands in readings._asdict().items()
            }
            for name, readings in self.products.items()
        }
        head = {"format": FORMAT, "graph": self.graph, "images": self.images}
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in products.items())
        write_text(f'{json.dumps(head)[:-1]}, "products": {{\n{lines}\n}}}}\n', path)

    @classmethod
    def read(cls, path: Path) -> "Activity":
        """The activity in a file; raises BadFile in one line."""
        found = read_object(path, "activity", ("format", "graph", "images", "products"), _MAKE)
        if (written := found.pop("format", None)) != FORMAT:
            raise BadFile(f"{path}: format must be {FORMAT!r}, got {written!r}; {_MAKE}")
        try:
            return cls.model_validate_json(json.dumps(found))
        except ValidationError as error:
            raise BadFile(_line(path, error)) from None


_MAKE = "write it with `hwsim simulate GRAPH --input FILE --activity OUT.json`"


def _mean(widths: Counts) -> float:
    return (widths[0] + sum(width * count for width, count in enumerate(widths))) / sum(widths)


def _share(toggled: Toggled, bits: int) -> float:
    return toggled.bits / (toggled.pairs * bits) if toggled.pairs else 0.0


def _sums(one: Counts, other: Counts) -> Counts:
    return tuple(x + y for x, y in zip(one, other, strict=True))


def _line(path: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    where = f"{path}: {key}" if key else str(path)
    said = first["type"] in ("value_error", "missing")
    got = "" if said else f", got {str(first['input'])[:60]}"
    return f"{where}: {message[0].lower()}{message[1:]}{got}; {_MAKE}"
