"""What the two schemes of fused multipliers share: `spatial_fusion` and `row_column_fusion`."""

from pydantic import model_validator

from hwsim.accel.scheme import Operand, Scheme, passes
from hwsim.accel.schemes._widths import Width
from hwsim.accel.unit import Unit


class Fusion(Scheme):
    """PEs of one `max_bits` multiplier each, made of multipliers of `min_bits`."""

    max_bits: Width = 8
    min_bits: Width

    @model_validator(mode="after")
    def _ordered(self) -> "Fusion":
        if self.min_bits > self.max_bits:
            raise ValueError(f"min_bits must be at most max_bits, got {self.min_bits} above {self.max_bits}; lower it")
        return self

    @property
    def unit(self) -> Unit:
        """A multiplier that can be divided."""
        return Unit("fusion", self.max_bits)

    def side_by_side(self, operand: Operand) -> int:
        """Operands that lie where one of `max_bits` would."""
        return max(1, self.max_bits // max(operand.bits, self.min_bits))

    def passes(self, a: Operand, b: Operand) -> float:
        """Cycles of operands wider than `max_bits`, else 1."""
        return float(passes(a.bits, self.max_bits) * passes(b.bits, self.max_bits))
