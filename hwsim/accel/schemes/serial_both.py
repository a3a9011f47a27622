"""serial_both: both operands bit by bit, `lanes` products along K per PE: lanes/(a w) MACs per PE and cycle.

Any pair of widths runs at its own pace, and measured activity shortens it further (`Operand.taken`). Sources: Loom
(Sharify et al., DAC 2018, arXiv 1706.07853): 256 lanes of 1 x 1 bit match one parallel multiplier of 16 bits, hence
256/(a w); BISMO (Umuroglu et al., FPL 2018, arXiv 1806.08862): a w GEMMs of binary matrices, words of `lanes` bits by AND
and popcount.
"""

from hwsim.accel.scheme import Operand, Packing, Scheme
from hwsim.accel.schemes._widths import Lanes
from hwsim.accel.unit import Unit


class SerialBoth(Scheme):
    """Inner products of 1 bit x 1 bit."""

    lanes: Lanes = 256

    @property
    def unit(self) -> Unit:
        """256 lanes would match a parallel multiplier of 16 bits."""
        return Unit("serial", 16, lanes=self.lanes, streamed=2)

    def pack(self, a: Operand, b: Operand) -> Packing:
        """One cycle per pair of bits that are taken."""
        return Packing(1, self.lanes, 1, a.taken * b.taken)
