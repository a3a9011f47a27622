"""How a table rounds what it prints: entry = round(total / unit, decimals) x unit, or the total as it is.

Papers quote ratios of table entries, so what an entry was rounded to decides the ratio: 4.3/0.7 = 6.14 of 4.26/0.66 = 6.45.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from hwsim.errors import HwsimError

HOWS = {"none": "", "round": ROUND_HALF_UP, "truncate": ROUND_DOWN}
"""Ways to round: not at all, half up, towards zero."""

PREFIXES = {
    "": 1,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
}
"""Prefixes of the unit that a table prints its entries in, with their factors; `Mi` of bytes makes MiB."""

MAX_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Rounding:
    """`how` (none, round, truncate) to so many `decimals` of the unit with `prefix`."""

    how: str = "none"
    decimals: int = 0
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.how not in HOWS:
            raise HwsimError(f"rounding: how must be one of {', '.join(HOWS)}, got {self.how!r}; none keeps totals")
        if self.prefix not in PREFIXES:
            known = ", ".join(key or '""' for key in PREFIXES)
            raise HwsimError(f"rounding: prefix must be one of {known}, got {self.prefix!r}; Mi of bytes makes MiB")
        if type(self.decimals) is not int or not 0 <= self.decimals <= MAX_DECIMALS:
            raise HwsimError(
                f"rounding: decimals must be 0..{MAX_DECIMALS}, got {self.decimals!r}; choose a smaller prefix for less"
            )

    def printed(self, total: float) -> float:
        """The number that a table prints for `total`, in the unit with the prefix: 4.3 for 4,262,836,224 in G."""
        factor = PREFIXES[self.prefix]
        return total / factor if self.how == "none" else float(self._rounded(total, factor))

    def entry(self, total: float) -> float:
        """The same number without the prefix: 4.3e9."""
        if self.how == "none":
            return total
        factor = PREFIXES[self.prefix]
        return float(self._rounded(total, factor) * factor)

    def __str__(self) -> str:
        return self.how if self.how == "none" and not self.prefix else f"{self.how}:{self.decimals}:{self.prefix}"

    def _rounded(self, total: float, factor: int) -> Decimal:
        return (Decimal(total) / factor).quantize(Decimal(1).scaleb(-self.decimals), HOWS[self.how])


EXACT = Rounding()
"""Entries are totals, un-rounded."""


def parse(text: str) -> Rounding:
    """The rounding that `text` writes: `none`, or `round:1:G`, `truncate:0:M` (way, decimals, prefix)."""
    how, *rest = text.split(":")
    if len(rest) > 2 or (rest and not rest[0].isdecimal()):
        raise HwsimError(f"rounding: must be way:decimals:prefix, got {text!r}; write none, round:1:G or truncate:0:Mi")
    return Rounding(how, int(rest[0]) if rest else 0, rest[1] if len(rest) == 2 else "")
