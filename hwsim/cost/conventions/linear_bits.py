"""linear_bits: cost in proportion to the wider operand. Total = sum over products of max(w, a) / 32 MAC.

So a model is 8x cheaper at 4 bits and 16x at 2, as on hardware that packs operands into words of 32 bits or takes a cycle
per bit. Source: none printed that we hold ourselves to; it is what rough estimates of speedup by width take for granted.
Status: inferred.
"""

from dataclasses import dataclass

from hwsim.cost.operations import Operations
from hwsim.op import Gemm
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearBits(Operations):
    """MACs of floats that take as long."""

    unit = "OP"
    status = "inferred"

    def product(self, gemm: Gemm) -> float:
        """MACs at the fraction of the wider operand."""
        return gemm.macs * max(gemm.a_bits, gemm.b_bits) / FLOAT_BITS
