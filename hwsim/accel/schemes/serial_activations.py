"""serial_activations: left operands bit by bit, `lanes` products along K per PE: lanes/a MACs per PE and cycle.

Right operands of up to `weight_bits` are parallel; wider ones take passes. Any width runs at its own pace, and measured
activity shortens it further: a pass takes the bits that are streamed (`Operand.taken`). Source: Stripes (Judd et al.,
MICRO 2016): 16 lanes of 1 x 16 bits match one parallel multiplier of 16 bits, hence 16/a.
"""

from hwsim.accel.scheme import Operand, Packing, Scheme, passes
from hwsim.accel.schemes._widths import Lanes, Width
from hwsim.accel.unit import Unit


class SerialActivations(Scheme):
    """Inner products of 1 bit x `weight_bits`."""

    lanes: Lanes = 16
    weight_bits: Width = 16

    @property
    def unit(self) -> Unit:
        """As many lanes as `weight_bits` would match a parallel multiplier of that width."""
        return Unit("serial", self.weight_bits, lanes=self.lanes, streamed=1)

    def pack(self, a: Operand, b: Operand) -> Packing:
        """One cycle per bit of the left operand that is taken."""
        return Packing(1, self.lanes, 1, a.taken * passes(b.bits, self.weight_bits))
