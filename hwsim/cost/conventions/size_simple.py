"""size_simple: every parameter at the weights' width. Size = P b / 8 bytes.

b is the width of the weights between patch embedding and heads; P counts everything, biases and norms too.
Source: fitted to PTQ-ViT (Liu et al. 2021, arXiv 2106.14156, table 1), which takes P as papers quote it, in whole millions
with the rest dropped (`whole_millions`): DeiT-S 88 / 22.0 / 16.5 MB and DeiT-B (86.57 M) 344 / 86.0 / 64.5 MB at 32 / 8 /
6 bits. Status: fitted.
"""

from collections import Counter
from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.work import Rows
from hwsim.errors import HwsimError

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeSimple(Convention):
    """`whole_millions` drops what the number of parameters has beyond whole millions, from all rows in proportion."""

    whole_millions: bool = False

    unit = "byte"
    status = "fitted"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Bytes of each row's weights and parameters."""
        bits = self._weight_bits(rows)
        stored = [row.weights + row.parameters for row in rows]
        total = sum(stored)
        kept = total // _MILLION * _MILLION / total if self.whole_millions and total >= _MILLION else 1
        return tuple(n * kept * bits / 8 for n in stored)

    def _weight_bits(self, rows: Rows) -> int:
        """The one width of the weights between the ends; the ends' where there are no others."""
        widths = Counter(row.gemm.b_bits for row in rows if row.gemm and row.weights and row.group not in self.ends)
        widths = widths or Counter(row.gemm.b_bits for row in rows if row.gemm and row.weights)
        if len(widths) != 1:
            found = ", ".join(str(bits) for bits in sorted(widths)) or "none"
            raise HwsimError(
                f"size_simple: weights must have one width, got {found}; choose size_bidet, which takes each at its own"
            )
        return next(iter(widths))
