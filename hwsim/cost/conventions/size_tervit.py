"""size_tervit: weights inside the network at b bits, everything else at 8. Size = (sum b inner + 8 rest) / 8 bytes.

Inner are the weights of all products but the patch embedding and the heads (patch merging included); a float model is
at 32 bits throughout. Source: fitted to TerViT (arXiv 2201.08050), Swin-S at 2 bits: 13.1 MB. Status: fitted.
"""

from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.groups import ENDS
from hwsim.cost.work import Rows, full_precision
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True)
class SizeTervit(Convention):
    """`rest_bits` is the width of ends, biases, norms, tokens and positions in a quantized model."""

    rest_bits: int = 8

    unit = "byte"
    status = "fitted"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Bytes of each row's weights and parameters."""
        rest = FLOAT_BITS if full_precision(rows) else self.rest_bits
        return tuple(
            (row.weights * (row.gemm.b_bits if row.gemm and row.group not in ENDS else rest) + row.parameters * rest)
            / 8
            for row in rows
        )
