"""What a convention is: a named rule that prices rows of work. Each lives in `conventions/`, one file each.

A convention is a frozen dataclass whose fields are its options; their defaults give the figures that its docstring
documents. Its `amounts` add up to its total, whatever is grouped; its `entry` is what a paper's table would print of a
total. `status` says who states the rule: `printed` by its authors, `fitted` or `inferred` by us, `user` by whoever wrote
the file. There are two kinds, rules of operations (`hwsim.cost.operations`) and of sizes (`hwsim.cost.sizes`).

Widths are those of the rows, unless an option says otherwise: options about widths are for quantized models, in a float
model (every product's operands are floats) everything counts as floats.
"""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from hwsim.cost.groups import ENDS, GROUPS
from hwsim.cost.rounding import EXACT, Rounding
from hwsim.cost.work import Rows, Work
from hwsim.errors import HwsimError
from hwsim.spec import FLOAT_BITS

CATALOGUE = "hwsim.cost.conventions"
"""Where the shipped conventions are."""

PRODUCTS = tuple(group for group in GROUPS if group != "elementwise")
"""The groups that have products."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention(ABC):
    """Base of all conventions. Raises HwsimError where an option has a value that it cannot have.

    `ends` are the groups that count as the ends of the network. `rounding` is that of table entries. `label` is what tables
    call it, its name where empty. `bits` are the widths at which the rule is defined, all where empty.
    """

    ends: tuple[str, ...] = ENDS
    rounding: Rounding = EXACT
    label: str = dataclasses.field(default="", compare=False)

    unit: ClassVar[str]
    status: ClassVar[str]
    bits: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        self._check_groups("ends", self.ends)
        if not isinstance(self.rounding, Rounding):
            raise HwsimError(f"{self.subject}: rounding must be a Rounding, got {self.rounding!r}; EXACT keeps totals")

    @property
    def name(self) -> str:
        """What tables call it: its label, or else the name of its file."""
        return self.label or type(self).__module__.rpartition(".")[2]

    @property
    def subject(self) -> str:
        """What errors call it."""
        return self.name

    @abstractmethod
    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """What each row costs, in `unit`."""

    def entry(self, total: float) -> float:
        """The table entry for a total, in `unit`; ratios are taken of entries."""
        return self.rounding.entry(total)

    def _check_groups(self, option: str, groups: tuple[str, ...]) -> None:
        if not isinstance(groups, tuple):
            raise HwsimError(
                f"{self.subject}: {option} must be a tuple of groups, got {groups!r}; put it in parentheses"
            )
        for group in groups:
            if group not in PRODUCTS:
                known = ", ".join(PRODUCTS)
                raise HwsimError(f"{self.subject}: {option} must be groups of products, got {group!r}; known: {known}")

    def _check_bits(self, option: str, value: int | None) -> None:
        if value is None:
            return
        if type(value) is not int or not (1 <= value <= 8 or value == FLOAT_BITS):
            raise HwsimError(
                f"{self.subject}: {option} must be 1..8, 32 or none, got {value!r}; 32 is float, none the own"
            )

    def _undefined(self, row: Work, *widths: int) -> HwsimError:
        """The error for the first of `widths` at which the rule is not defined."""
        known = ", ".join(str(b) for b in self.bits)
        got = next(width for width in widths if width not in self.bits)
        return HwsimError(
            f"{self.subject}: bits must be one of {known}, got {got} at {row.node}; choose one of them or a convention "
            "that is defined at any width, such as bitops_wa"
        )

    def _impossible(self, row: Work, got: object) -> HwsimError:
        """The error for a row whose cost is negative, infinite or no number."""
        return HwsimError(
            f"{self.subject}: a row must cost a finite number of 0 or more, got {got} at {row.node}; mend the rule's formula"
        )
