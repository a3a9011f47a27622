"""bireal_ladder: full-precision operations + sum over quantized products of f(b) MAC.

f = 1/64, 1/32, 1/16, 1/8 at b = 1, 2, 3, 4 (that is 2**(b - 7)), 1/4 at 8, 1 for floats; b is the wider operand's width.
Source: Q-DETR (arXiv 2304.00253) prints the rule for 2, 3 and 4 bits, after Bi-Real Net's 1/64 (arXiv 1808.00278).
Status: printed for 1 to 4 bits; 1/4 at 8 bits is fitted to Q-DETR's table 3; other widths are not defined. The patch
embedding and the heads count at full precision, whatever their bits. Un-rounded, with Swin's 1 per LayerNorm element:
DeiT-S 4.60077 G against 0.62766 / 0.34387 / 0.20197 G at 4 / 3 / 2 bits, 7.33x, 13.38x, 22.78x. Norms are taken at their
true sizes; `elementwise=SWIN` takes Swin's last one as Swin's code does, which moves Swin-T from 7.771x to 7.769x.
"""

from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.elementwise import LAYERNORM, Elementwise
from hwsim.cost.groups import ATTENTION, ENDS
from hwsim.cost.work import Rows, Work, full_precision
from hwsim.errors import HwsimError
from hwsim.spec import FLOAT_BITS

_FRACTION = {1: 1 / 64, 2: 1 / 32, 3: 1 / 16, 4: 1 / 8, 8: 1 / 4, FLOAT_BITS: 1.0}


@dataclass(frozen=True, slots=True)
class BirealLadder(Convention):
    """`attention_bits` is a width for QK^T and AV in a quantized model (None: their own); `ends_full_precision` takes the
    patch embedding and the heads as floats; `elementwise` work is added at full cost."""

    attention_bits: int | None = None
    ends_full_precision: bool = True
    elementwise: Elementwise = LAYERNORM

    unit = "OP"
    status = "printed"

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Discounted MACs of products, weighed elements of the rest."""
        floats = full_precision(rows)
        elementwise = self.elementwise.amounts(rows)
        return tuple(self._product(row, floats) + rest for row, rest in zip(rows, elementwise, strict=True))

    def _product(self, row: Work, floats: bool) -> float:
        if row.gemm is None:
            return 0
        bits = max(row.gemm.a_bits, row.gemm.b_bits)
        if row.group in ENDS and self.ends_full_precision:
            bits = FLOAT_BITS
        elif row.group in ATTENTION and self.attention_bits is not None and not floats:
            bits = self.attention_bits
        if bits not in _FRACTION:
            known = ", ".join(str(b) for b in _FRACTION)
            raise HwsimError(
                f"bireal_ladder: bits must be one of {known}, got {bits} at {row.node}; choose one of them or a "
                "convention that is defined at any width, such as bitops_wa"
            )
        return row.macs * _FRACTION[bits]
