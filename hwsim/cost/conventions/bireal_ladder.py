"""bireal_ladder: full-precision operations + sum over quantized products of f(b) MAC.

f = 1/64, 1/32, 1/16, 1/8 at b = 1, 2, 3, 4 (that is 2**(b - 7)), 1/4 at 8, 1 for floats; b is the wider operand's width.
Source: Q-DETR (arXiv 2304.00253) prints the rule for 2, 3 and 4 bits, after Bi-Real Net's 1/64 (arXiv 1808.00278),
which ReActNet writes as BOPs / 64 + FLOPs (arXiv 2003.03488).
Status: printed for 1 to 4 bits; 1/4 at 8 bits is fitted to Q-DETR's table 3; other widths are not defined. The patch
embedding and the heads count at full precision, whatever their bits. Un-rounded, with Swin's 1 per LayerNorm element:
DeiT-S 4.60077 G against 0.62766 / 0.34387 / 0.20197 G at 4 / 3 / 2 bits, 7.33x, 13.38x, 22.78x. Norms are taken at their
true sizes; `elementwise=SWIN` takes Swin's last one as Swin's code does, which moves Swin-T from 7.771x to 7.769x.
"""

from dataclasses import dataclass

from hwsim.cost.elementwise import LAYERNORM, Elementwise
from hwsim.cost.operations import Operations
from hwsim.op import Gemm
from hwsim.spec import FLOAT_BITS

_FRACTION = {1: 1 / 64, 2: 1 / 32, 3: 1 / 16, 4: 1 / 8, 8: 1 / 4, FLOAT_BITS: 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class BirealLadder(Operations):
    """Discounted MACs, the ends as floats, elementwise work at full cost."""

    ends_bits: int | None = FLOAT_BITS
    elementwise: Elementwise = LAYERNORM

    unit = "OP"
    status = "printed"
    bits = tuple(_FRACTION)

    def product(self, gemm: Gemm) -> float:
        """MACs at the fraction of the wider operand."""
        return gemm.macs * _FRACTION[max(gemm.a_bits, gemm.b_bits)]
