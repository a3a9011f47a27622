"""Energy tables: what a MAC, a bit of memory and an action of the vector unit cost, each constant with its source.

Tables disagree by a factor of 20, so none is the default: a machine names the one that fits its node, and reports show all.
The shipped ones are the TOML files of `hwsim/accel/energies`, a user's own has the same format; docs/energy.md lists their
constants and the rules. Energies are pJ, areas square micrometres, of the node that the table states: nothing is scaled.

Rules (`EnergyTable.mac`): a fixed unit costs the same whatever runs on it; a unit that is divided costs each of the products
side by side its share; a lane that streams costs in proportion to the bits that it streams. What a table borrows for its
units it takes in proportion to the two tables' MACs of 8 bits, so that a borrowed ratio stays a ratio; memories as they are.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim import catalog
from hwsim.accel.lending import Lenders
from hwsim.accel.prices import Curve, PriceList
from hwsim.accel.reading import checked, load, parse, shown
from hwsim.accel.scheme import Operand, Scheme
from hwsim.accel.vector_energy import pj_of
from hwsim.errors import BadFile, HwsimError

SERIAL_ENERGY = 1.92 / 1.57
"""A lane that streams costs this over its share of a parallel multiplier: Stripes is 1.92 times as fast and 1.57 times as
energy efficient as its parallel baseline (printed, MICRO 2016), so its power is the ratio of the two (derived, chip-wide)."""
SERIAL_AREA = 1.32
"""The same of areas: 32 % more (printed, Stripes)."""
RANDOM_TOGGLES = 0.5
"""Toggles per bit and cycle of random operands, for which tables are taken to be stated (inferred)."""


class Entry(NamedTuple):
    """A constant of a table: the item, the width or the size that it is of, and who it is borrowed from, if from anyone."""

    item: str
    of: str
    value: float
    unit: str
    status: str
    source: str
    borrowed: str


class EnergyTable(PriceList):
    """A price list with what it borrows in its place."""

    def mac(
        self, scheme: Scheme, a: int | Operand, b: int | Operand, *, toggles: float = RANDOM_TOGGLES, gated: float = 0.0
    ) -> float:
        """pJ per MAC of operands `a` and `b` (bits, or measured) on PEs of `scheme`.

        `toggles` per bit and cycle scale it from random data (inferred); `gated` is the fraction of MACs that a zero operand
        switches off. Zeros that a scheme skips and bits that it does not stream are in its passes already.
        """
        for name, value in (("toggles", toggles), ("gated", gated)):
            if not 0 <= value <= 1:
                raise HwsimError(f"mac: {name} must be between 0 and 1, got {value!r}; it is a fraction")
        left, right = (operand if isinstance(operand, Operand) else Operand(operand) for operand in (a, b))
        unit, packing = scheme.unit, scheme.packing(left, right)
        share = packing.passes / (1 if unit.kind == "serial" else packing.m * packing.k * packing.n)
        return self.energy.whole(unit, SERIAL_ENERGY) * share * (toggles / RANDOM_TOGGLES) * (1 - gated)

    def action(self, kind: str, a_bits: int, b_bits: int) -> float:
        """pJ of one action of the vector unit (`hwsim.op.Action`; 32 bits is a float)."""
        return pj_of(self.energy, self.sram, kind, a_bits, b_bits)

    def sram_read(self, kib: ArrayLike, banks: ArrayLike = 1) -> NDArray[np.float64]:
        """pJ per bit read from a buffer of `kib` KiB in `banks` equal banks, of their shape: what counts is the bank."""
        return self.sram.at("read", np.true_divide(kib, banks))

    def sram_write(self, kib: ArrayLike, banks: ArrayLike = 1) -> NDArray[np.float64]:
        """pJ per bit written."""
        return self.sram.at("write", np.true_divide(kib, banks))

    @property
    def dram_read(self) -> float:
        """pJ per bit."""
        return self.dram.read.at(1)

    @property
    def dram_write(self) -> float:
        """pJ per bit."""
        return self.dram.write.at(1)

    def leakage(self, scheme: Scheme, clock_mhz: ArrayLike | None = None) -> NDArray[np.float64]:
        """pJ per PE and cycle, at the table's own clock or at this one (the power stays); 0 where the source has none."""
        book = self.leak
        if book is None:
            return np.zeros(np.shape(clock_mhz if clock_mhz is not None else 0.0))
        unit = scheme.unit
        if book.has(unit):
            pj = book.whole(unit, SERIAL_AREA) * unit.lanes
        else:  # in proportion to the area (inferred)
            pj = book.mac_at(8) * self.area_um2(scheme) / self.area.mac_at(8)
        clock = book.clock_mhz if clock_mhz is None else clock_mhz
        return np.asarray(pj * np.true_divide(book.clock_mhz, clock))

    def area_um2(self, scheme: Scheme) -> float:
        """Area of the arithmetic of a PE: a proxy, without its registers, wires and control."""
        return self.area.whole(scheme.unit, SERIAL_AREA) * scheme.unit.lanes

    @property
    def sram_um2_per_bit(self) -> float:
        """Area of a bit of SRAM with its share of the periphery: a proxy."""
        return self.area.at("sram", 1)

    def constants(self) -> tuple[Entry, ...]:
        """All constants, with those that are borrowed."""
        return tuple(_entries(self))


def names() -> tuple[str, ...]:
    """The shipped tables."""
    files = resources.files("hwsim.accel").joinpath("energies").iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(".toml")))


def find(name_or_path: str | Path) -> EnergyTable:
    """The shipped table of this name, or the one in a TOML file; raises UnknownName or BadFile in one line."""
    name = str(name_or_path)
    if name in names():
        return _shipped(name)
    path = Path(name_or_path)
    if not path.suffix and not path.is_file():
        raise catalog.unknown("energy table", name, names())
    where = str(path)
    written = load(path, "an energy table")
    return _resolved(_checked(written, path.stem, where), where)


@lru_cache
def _shipped(name: str) -> EnergyTable:
    return _resolved(_written(name), f"{name}.toml")


@lru_cache
def _written(name: str) -> PriceList:
    text = resources.files("hwsim.accel").joinpath("energies", f"{name}.toml").read_text(encoding="utf-8")
    return _checked(parse(text, f"{name}.toml"), name, f"{name}.toml")


def _checked(written: Mapping[str, Any], name: str, where: str) -> PriceList:
    if "name" in written:
        raise BadFile(f"{where}: name must be the file's own, got {shown(written['name'])}; drop the key")
    return checked(PriceList, {**written, "name": name}, where)


def _resolved(written: PriceList, where: str) -> EnergyTable:
    return EnergyTable.model_construct(**Lenders(names(), _written, _shipped).books(written, where))


def _entries(table: EnergyTable) -> Iterator[Entry]:
    """The table's constants in the order of its file."""
    books = (("energy", table.energy, "pJ"), ("area", table.area, "um2"), ("leak", table.leak, "pJ/cycle"))
    for name, book, unit in books:
        if book is not None:
            for item, curve in book:
                if isinstance(curve, Curve):
                    yield from _rows(f"{name}.{item}", curve, unit, curve.borrow or book.borrow)
    for of, curve in table.dram:
        yield from _rows(f"dram.{of}", curve, "pJ", curve.borrow)
    for point in table.sram.points:
        for of in ("read", "write"):
            place = f"{point.kib:g} KiB, {point.bits} bits"
            yield Entry(f"sram.{of}", place, getattr(point, of), "pJ", point.status, point.source, table.sram.borrow)


def _rows(item: str, curve: Curve, unit: str, lender: str) -> Iterator[Entry]:
    for point in curve.points:
        yield Entry(item, f"{point.bits} bits", point.value, unit, point.status, point.source, lender)
