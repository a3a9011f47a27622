"""A published figure: the interval that its printed digits leave open, or that a tolerance does.

`6.14` stands for 6.135 up to but not 6.145, which is printed as 6.15: halves go up, as in `Rounding` and in the verdicts on
claims. A tolerance takes both its ends in. A speedup is a ratio of two entries, full precision over quantized; all other
kinds are one entry, of the model at its bits.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from hwsim import catalog
from hwsim.errors import HwsimError

UNITS: dict[str, tuple[str, ...]] = {
    "speedup": (),
    "ops": ("MAC", "FLOP", "OP"),
    "bitops": ("BOP",),
    "size": ("byte",),
}
"""Kinds of figures, and the units of the conventions that can give them: of a speedup any unit but bytes."""

PREFIXES = {"speedup": ("G",), "ops": ("G",), "bitops": ("G",), "size": ("M", "Mi")}
"""The prefixes in which tables print the entries: sizes in MB, which some take as MiB."""

_PRINTED = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_SUFFIXES = {"speedup": "x", "ops": " G operations", "bitops": " G bit operations", "size": " MB"}


@dataclass(frozen=True, slots=True)
class Figure:
    """The figure `text` of this `kind`: from `low` to `high`, which is in it where it is `closed`. `decimals` are those that
    it prints."""

    kind: str
    text: str
    low: float
    high: float
    decimals: int
    closed: bool = False

    @property
    def value(self) -> float:
        """The figure as a number."""
        return float(self.text)

    @property
    def is_ratio(self) -> bool:
        """Whether it is a ratio of two entries."""
        return self.kind == "speedup"

    @property
    def units(self) -> str:
        """The units of the conventions that can give it, in words."""
        return " or ".join(UNITS[self.kind]) or "operations, not bytes"

    def counted_in(self, unit: str) -> bool:
        """Whether a convention of this unit can give it."""
        return unit in UNITS[self.kind] if UNITS[self.kind] else unit != "byte"

    def holds(self, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of `values` the figure stands for."""
        given = np.asarray(values, dtype=float)
        return np.asarray((given >= self.low) & (given <= self.high if self.closed else given < self.high))

    def __str__(self) -> str:
        return f"{self.text}{_SUFFIXES[self.kind]}"


def figure(kind: str, text: str, tolerance: float | None = None) -> Figure:
    """The figure that `text` prints, within half a unit of its last digit, or within the relative `tolerance`.

    Raises HwsimError where the text is no positive number, the tolerance is not in 0..1, or the kind is unknown.
    """
    if kind not in UNITS:
        raise catalog.unknown("figure", kind, UNITS)
    text = text.strip()
    value = Decimal(text) if _PRINTED.fullmatch(text) else Decimal(0)
    if not value:
        raise HwsimError(f"{kind}: a figure must be a positive number, got {text!r}; give it as printed, 6.14")
    if tolerance is not None and not (math.isfinite(tolerance) and 0 <= tolerance < 1):
        raise HwsimError(f"tolerance: must be relative and in 0..1, got {tolerance}; 0.01 allows one per cent")
    decimals = len(text.partition(".")[2])
    half = Decimal(1).scaleb(-decimals) / 2 if tolerance is None else value * Decimal(repr(tolerance))
    return Figure(kind, text, float(value - half), float(value + half), decimals, tolerance is not None)
