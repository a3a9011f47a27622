"""size_bidet: 32 bits per real-valued parameter, b per quantized weight. Size = (32 real + sum b quantized) / 8 bytes.

Quantized are the constant operands of products, each at its own width (the ends at 8); real are biases, norms, tokens
and positions. Source: Q-DETR (arXiv 2304.00253), after BiDet (arXiv 2003.03961). Status: printed. Scales and zero
points are left out, as there.
"""

from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.work import Rows
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True)
class SizeBidet(Convention):
    """`real_bits` is the width of what is not quantized."""

    real_bits: int = FLOAT_BITS

    unit = "byte"
    status = "printed"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Bytes of each row's weights and parameters."""
        return tuple(
            ((row.gemm.b_bits * row.weights if row.gemm else 0) + self.real_bits * row.parameters) / 8 for row in rows
        )
