"""bitops_wa: bit operations. Total = sum over products of w_bits x a_bits x MAC, floats as 32 x 32.

Source: HAWQ-V3 (arXiv 2011.10680), and the budget of Q-ViT-DeiT (Li Z. et al., arXiv 2201.07703). Status: printed.
DeiT-T at W4A4, 8 x 8 at the ends, attention products included: 21,455,413,248, printed as 21.455 G. HAWQ-V3's whole
G of ResNet-18 are 1858 / 116 / 34 at 32 / 8 / 4 bits with the ends at 8 (1857.6, 116.1, 34.7 by the rule), of ResNet-50, with
strides in its 1 x 1 convolutions, 3951 / 247 / 67.
"""

from dataclasses import dataclass

from hwsim.cost.operations import Operations
from hwsim.op import Gemm


@dataclass(frozen=True, slots=True, kw_only=True)
class BitopsWa(Operations):
    """The product of both widths for each MAC."""

    unit = "BOP"
    status = "printed"

    def product(self, gemm: Gemm) -> float:
        """Bit operations, an integer."""
        return gemm.a_bits * gemm.b_bits * gemm.macs
