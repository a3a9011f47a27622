"""size_simple: every parameter at the weights' width. Size = P b / 8 bytes.

b is the width of the weights between patch embedding and heads; P counts everything, biases and norms too.
Source: PTQ-ViT (Liu et al. 2021, arXiv 2106.14156, table 1), which rounds P to whole millions (`whole_millions`): DeiT-S
88 / 22.0 / 16.5 MB at 32 / 8 / 6 bits. Status: printed sizes, rule fitted.
"""

from collections import Counter
from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.groups import ENDS
from hwsim.cost.work import PARAMETERS, Rows
from hwsim.errors import HwsimError

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class SizeSimple(Convention):
    """`whole_millions` rounds the number of parameters before it is multiplied; the row `parameters` takes the rest."""

    whole_millions: bool = False

    unit = "byte"
    status = "fitted"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Bytes of each row's weights and parameters."""
        bits = _weight_bits(rows)
        stored = [row.weights + row.parameters for row in rows]
        if self.whole_millions:
            total = sum(stored)
            rounded = (total + _MILLION // 2) // _MILLION * _MILLION
            stored = [n + rounded - total if row.node == PARAMETERS else n for n, row in zip(stored, rows, strict=True)]
        return tuple(n * bits / 8 for n in stored)


def _weight_bits(rows: Rows) -> int:
    """The one width of the weights between the ends; the ends' where there are no others."""
    widths = Counter(row.gemm.b_bits for row in rows if row.gemm and row.weights and row.group not in ENDS)
    widths = widths or Counter(row.gemm.b_bits for row in rows if row.gemm and row.weights)
    if len(widths) != 1:
        found = ", ".join(str(bits) for bits in sorted(widths)) or "none"
        raise HwsimError(
            f"size_simple: weights must have one width, got {found}; choose size_bidet, which takes each at its own"
        )
    return next(iter(widths))
