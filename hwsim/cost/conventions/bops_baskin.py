"""bops_baskin: bit operations with accumulation: outputs x n k^2 x (w a + w + a + log2(n k^2)) for each product.

n k^2 is the length of the sum that one output takes, K of the product: multiplying costs w a, adding up as many products as
there are the width of an accumulator that cannot overflow. Floats count as 32 x 32. Source: UNIQ (Baskin et al., arXiv
1804.10969). Status: printed. The layers 16-64-32-32-5 of one widely used script at 32 bits give 4,652,832; DeiT-S at 4
bits with the ends at 8 gives 155.325 G.
"""

import math
from dataclasses import dataclass

from hwsim.cost.operations import Operations
from hwsim.op import Gemm


@dataclass(frozen=True, slots=True, kw_only=True)
class BopsBaskin(Operations):
    """Bit operations of a multiplication and of its addition to the sum."""

    unit = "BOP"
    status = "printed"

    def product(self, gemm: Gemm) -> float:
        """Bit operations; no integer where K is not a power of two."""
        a, w = gemm.a_bits, gemm.b_bits
        return gemm.macs * (w * a + w + a + math.log2(gemm.k))
