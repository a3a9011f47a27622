"""dsp_packing: FPGA multipliers that hold several narrow products side by side, by a table of widths.

Of all `packs` whose widths hold the operands, the one with most MACs is taken; beyond the table a multiplier does one MAC
of up to `a_bits` x `b_bits`, and wider integers take passes. The default table is AMD's DSP48E2 (27 x 18 bits): at 8 bits
two MACs that share the weight (white paper WP486, printed), at 4 bits four products of two activations by two weights
(white paper WP521, recalled). Any other unit that packs by a table of widths, as a tensor core, is written the same way.
"""

from typing import Annotated

from pydantic import Field

from hwsim.accel.reading import AsTuple, Rule, Table
from hwsim.accel.scheme import Operand, Packing, Scheme, passes
from hwsim.accel.schemes._widths import Width
from hwsim.accel.unit import Unit

Side = Annotated[int, Field(ge=1, le=64), Rule("an integer from 1 to 64 (operands side by side)", "2")]


class Pack(Table):
    """Operands of up to these widths lie m x k x n side by side in one multiplier."""

    a_bits: Width
    b_bits: Width
    m: Side = 1
    k: Side = 1
    n: Side = 1


DSP48E2 = (Pack(a_bits=8, b_bits=8, m=2), Pack(a_bits=4, b_bits=4, m=2, n=2))


class DspPacking(Scheme):
    """Multipliers of `a_bits` x `b_bits` with a table of what they pack."""

    a_bits: Width = 27
    b_bits: Width = 18
    packs: Annotated[tuple[Pack, ...], AsTuple, Rule("a list of tables", "[{ a_bits = 8, b_bits = 8, n = 2 }]")] = (
        DSP48E2
    )

    @property
    def unit(self) -> Unit:
        """One DSP."""
        return Unit("dsp", self.a_bits, other_bits=self.b_bits)

    def pack(self, a: Operand, b: Operand) -> Packing:
        """The best entry that holds both operands."""
        fitting = [one for one in self.packs if a.bits <= one.a_bits and b.bits <= one.b_bits]
        if fitting:
            best = max(fitting, key=lambda one: one.m * one.k * one.n)
            return Packing(best.m, best.k, best.n, 1.0)
        return Packing(1, 1, 1, float(passes(a.bits, self.a_bits) * passes(b.bits, self.b_bits)))
