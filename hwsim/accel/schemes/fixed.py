"""fixed: one MAC of up to `bits` x `bits` per PE and cycle; wider integers in ceil(a/bits) ceil(w/bits) passes.

Narrower operands gain nothing here: what they save is traffic. `bits = 32` also takes floats, one MAC per cycle.
"""

from hwsim.accel.scheme import FLOAT_BITS, Operand, Packing, Scheme, passes
from hwsim.accel.schemes._widths import Width
from hwsim.accel.unit import Unit


class Fixed(Scheme):
    """PEs of one width."""

    bits: Width = 8

    @property
    def widest(self) -> int:
        """A float too, where the PEs are as wide as one."""
        return FLOAT_BITS if self.bits == FLOAT_BITS else FLOAT_BITS - 1

    @property
    def unit(self) -> Unit:
        """A multiplier of `bits` x `bits`, of floats at 32."""
        return Unit("fixed", self.bits)

    def pack(self, a: Operand, b: Operand) -> Packing:
        """One operand along each dimension."""
        return Packing(1, 1, 1, float(passes(a.bits, self.bits) * passes(b.bits, self.bits)))
