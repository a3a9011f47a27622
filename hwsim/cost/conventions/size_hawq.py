"""size_hawq: weights alone, at b bits, the ends at 8. Size = sum (b inner + 8 ends) / 8 bytes, in MiB of 2**20.

Biases, norms and scales are left out. Source: HAWQ-V3's README (github.com/Zhen-Dong/HAWQ), which prints sizes without
the rule; which parameters it counts and that its MB are MiB is our reading. Status: fitted. ResNet-18 44.6 / 11.1 / 5.8
MiB at 32 / 8 / 4 bits and ResNet-50 13.1 at 4 come out as printed; ResNet-50 gives 97.3 and 24.3 for 97.8 and 24.5.
"""

from dataclasses import dataclass

from hwsim.cost.rounding import Rounding
from hwsim.cost.sizes import Sizes

_ENTRIES = Rounding("round", 1, "Mi")


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeHawq(Sizes):
    """Weights of products alone, entries in MiB with one decimal."""

    ends_bits: int | None = 8
    count_rest: bool = False
    rounding: Rounding = _ENTRIES

    status = "fitted"
