"""xnor_conv: binary products at 64 MACs per operation, and one operation per output for its scale.

Total = sum over 1-bit products of (MAC / 64 + outputs), over float products of MAC. A convolution of c channels and k x k
taps gains 64 c k^2 / (c k^2 + 64). Other widths are not defined. Source: XNOR-Net (Rastegari et al., arXiv 1603.05279,
section 4.1). Status: printed. c = 256, k = 3 gives 62.27x; the abstract's 58x was measured on a CPU.
"""

from dataclasses import dataclass

from hwsim.cost.operations import Operations
from hwsim.op import Gemm
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class XnorConv(Operations):
    """Word-wide XNOR and popcount, and the scale of each output."""

    unit = "OP"
    status = "printed"
    bits = (1, FLOAT_BITS)

    def product(self, gemm: Gemm) -> float:
        """Operations; binary where both operands are."""
        if gemm.a_bits == gemm.b_bits == 1:
            return gemm.macs / 64 + gemm.batch * gemm.m * gemm.n
        return gemm.macs
