"""bitops_wa: bit operations. Total = sum over products of w_bits x a_bits x MAC, floats as 32 x 32.

Source: HAWQ-V3 (arXiv 2011.10680), and the budget of Q-ViT-DeiT (Li Z. et al., arXiv 2201.07703). Status: printed.
DeiT-T at W4A4, 8 x 8 at the ends, attention products included: 21,455,413,248, printed as 21.455 G.
"""

from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.work import Rows


@dataclass(frozen=True, slots=True)
class BitopsWa(Convention):
    """The product of both widths for each MAC."""

    unit = "BOP"
    status = "printed"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Bit operations, as integers."""
        return tuple(row.gemm.a_bits * row.gemm.b_bits * row.gemm.macs if row.gemm else 0 for row in rows)
