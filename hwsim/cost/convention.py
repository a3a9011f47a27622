"""What a convention is: a named rule that prices rows of work. Each lives in `conventions/`, one file each.

A convention is a frozen dataclass whose fields are its options; their defaults give the figures that its docstring
documents. Its `amounts` add up to its total, whatever is grouped; its `entry` is what a paper's table would print of a
total. `status` says who states the rule: `printed` by its authors, `fitted` or `inferred` by us.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from hwsim.cost.work import Rows


class Convention(ABC):
    """Base of all conventions."""

    __slots__ = ()

    unit: ClassVar[str]
    status: ClassVar[str]

    @abstractmethod
    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """What each row costs, in `unit`."""

    def entry(self, total: float) -> float:
        """The table entry for a total, in `unit`; ratios are taken of entries. Here: the total as it is."""
        return total
