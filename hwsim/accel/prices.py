"""The parts of an energy table's file: prices by width and by size, and the books that they stand in.

Every constant says its `status` and its `source`, in the unit in which its source prints it (pJ per access of so many bits).
What a source does not have is borrowed by name from a shipped table (`fusion = { borrow = "bit_fusion_45nm" }`), item by
item or a whole book, never filled in silently; `hwsim.accel.lending` puts it in its place.
"""

from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from hwsim.accel.reading import AsTuple, Rule, Table
from hwsim.accel.unit import Unit
from hwsim.spec import FLOAT_BITS

Status = Literal["printed", "recalled", "derived", "inferred", "measured"]
Price = Annotated[float, Field(gt=0, le=1e9), Rule("a number above 0", "0.2")]
Text = Annotated[str, Field(min_length=1), Rule("a text that says where the figure is from", '"..."')]
Width = Annotated[int, Field(ge=1, le=4096), Rule("an integer from 1 to 4096 (bits)", "8")]
Exponent = Annotated[float, Field(ge=0, le=4), Rule("a number from 0 to 4", "2")]
Lender = Annotated[str, Rule("the name of a shipped table", '"horowitz_45nm"')]


class AtBits(Table):
    """The price at one width."""

    bits: Width
    value: Price
    status: Status
    source: Text


class AtSize(Table):
    """Prices of an access of `bits` to a memory of `kib` KiB."""

    kib: Price
    bits: Width
    read: Price
    write: Price
    status: Status
    source: Text


class Own(Table):
    """Points of a table's own, or the name of the table that they are borrowed from: exactly one of the two.

    Log-log between points; beyond them in proportion to the width, or the size, to the power `exponent`.
    """

    borrow: Lender = ""
    exponent: Exponent | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Own":
        places: list[float] = [place for place, _ in self.pairs()]
        if bool(places) == bool(self.borrow):
            got = "both" if self.borrow else "neither"
            raise ValueError(f'points must be given or else borrow, got {got}; write borrow = "horowitz_45nm"')
        if places != sorted(set(places)):
            raise ValueError(f"points must rise, got {', '.join(f'{place:g}' for place in places)}; sort them")
        if places and self.exponent is None:
            raise ValueError("exponent must stand beside points, got nothing; 2 is a multiplier's, 1 an adder's")
        if self.borrow and self.exponent is not None:
            raise ValueError(f"exponent must be the lender's, got {self.exponent:g}; drop it")
        return self

    def pairs(self, of: str = "") -> list[tuple[float, float]]:
        """Place and price of each point."""
        raise TypeError(f"{type(self).__name__} has no points")


class Curve(Own):
    """Prices by width."""

    points: Annotated[tuple[AtBits, ...], AsTuple, Rule("a list of tables", "[{ bits = 8, value = 0.2, ... }]")] = ()

    def pairs(self, of: str = "") -> list[tuple[float, float]]:
        """Width and price."""
        return [(point.bits, point.value) for point in self.points]

    def at(self, bits: float) -> float:
        """The price at `bits`, which need not be a listed or a whole width."""
        return _at(bits, tuple(self.pairs()), self.exponent or 0.0)


class Sram(Own):
    """Prices by size: pJ per bit."""

    points: Annotated[tuple[AtSize, ...], AsTuple, Rule("a list of tables", "[{ kib = 32, bits = 64, ... }]")] = ()

    def pairs(self, of: str = "read") -> list[tuple[float, float]]:
        """Size and price per bit to read or to write."""
        return [(point.kib, getattr(point, of) / point.bits) for point in self.points]

    def at(self, of: str, kib: ArrayLike) -> NDArray[np.float64]:
        """The price per bit to `read` or to `write` where the memory has `kib` KiB."""
        return _between(kib, tuple(self.pairs(of)), self.exponent or 0.0)


class Dram(Table):
    """Prices by width of the access; a bit costs its share."""

    read: Curve
    write: Curve


class Units(Table):
    """A book of what units cost. A MAC is `mac`, or where that is not listed a multiplication and an addition."""

    needs: ClassVar[tuple[str, ...]] = ()

    borrow: Lender = ""
    accumulator_bits: Annotated[int, Field(ge=0, le=64), Rule("an integer from 0 to 64 (bits)", "32")] = 0
    """Width of the addition of a MAC; 0: that of its operands."""
    mac: Curve | None = None
    multiply: Curve | None = None
    add: Curve | None = None
    float_multiply: Curve | None = None
    float_add: Curve | None = None
    fusion: Curve | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Units":
        given = {name for name, value in self if isinstance(value, Curve)}
        if self.borrow and given:
            raise ValueError(f"borrow must stand alone, got it with {sorted(given)[0]}; borrow that one item, or all")
        missing = [name for name in self.needs if name not in given]
        if not ("mac" in given or {"multiply", "add"} <= given):
            missing.insert(0, "mac")
        if missing and not self.borrow:
            raise ValueError(
                f'{missing[0]} must be given, got nothing; write {missing[0]} = {{ borrow = "horowitz_45nm" }}'
            )
        return self

    def at(self, item: str, bits: float) -> float:
        """The price of the curve `item` at `bits`."""
        curve: Curve = getattr(self, item)
        return curve.at(bits)

    def mac_at(self, bits: float) -> float:
        """An integer multiply-accumulate of `bits` x `bits`."""
        if self.mac is not None:
            return self.mac.at(bits)
        return self.at("multiply", bits) + self.at("add", self.accumulator_bits or bits)

    def has(self, unit: Unit) -> bool:
        """Whether the book lists units of this kind."""
        if unit.kind == "fusion":
            return self.fusion is not None
        return not _floats(unit) or self.float_multiply is not None

    def whole(self, unit: Unit, serial: float) -> float:
        """One lane of `unit` for a cycle; a lane that streams costs `serial` times its share of a multiplier."""
        if unit.kind == "fusion":
            return float(self.at("fusion", unit.bits))
        if _floats(unit):
            return self.at("float_multiply", FLOAT_BITS) + self.at("float_add", FLOAT_BITS)
        if unit.kind == "serial":
            return serial * self.mac_at(unit.bits) / float(unit.bits**unit.streamed)
        return self.mac_at(unit.width)


class Energy(Units):
    """pJ. `registers` is an access to a register of so many bits."""

    needs: ClassVar[tuple[str, ...]] = ("multiply", "add", "float_multiply", "float_add", "fusion", "registers")

    registers: Curve | None = None


class Area(Units):
    """Square micrometres; `sram` of so many bits, with what surrounds them."""

    needs: ClassVar[tuple[str, ...]] = ("float_multiply", "float_add", "fusion", "sram")

    sram: Curve | None = None


class Leakage(Units):
    """pJ per cycle at `clock_mhz`, whether the unit works or not."""

    clock_mhz: Price


class PriceList(Table):
    """A table as its file writes it; its `name` is the stem of that file."""

    name: str
    about: str = ""
    source: str = ""
    node_nm: Annotated[float, Field(gt=0, le=1000), Rule("a number of nm above 0", "45")] | None = None
    """None where the source does not say."""
    energy: Energy
    sram: Sram
    dram: Dram
    area: Area
    leak: Leakage | None = None
    """None where the source has none; it then counts as 0."""


def _floats(unit: Unit) -> bool:
    return unit.kind == "fixed" and unit.bits == FLOAT_BITS


def _between(place: ArrayLike, pairs: tuple[tuple[float, float], ...], exponent: float) -> NDArray[np.float64]:
    """The price at `place`: a power of it between pairs, beyond the ends the power `exponent`; exact at the pairs."""
    places, prices = np.array(pairs).T
    slopes = np.full(len(places) + 1, exponent)
    slopes[1:-1] = np.diff(np.log(prices)) / np.diff(np.log(places))
    wanted = np.asarray(place, np.float64)
    after = np.searchsorted(places, wanted, side="right")
    anchor = np.maximum(after - 1, 0)
    return np.asarray(prices[anchor] * (wanted / places[anchor]) ** slopes[after])


@lru_cache(maxsize=4096)
def _at(place: float, pairs: tuple[tuple[float, float], ...], exponent: float) -> float:
    """The same at one place, kept: a network asks for few widths many times."""
    return float(_between(place, pairs, exponent))
