"""What one PE of a precision scheme is built of, so that a table of prices can price it.

fixed   a multiplier of `bits` x `bits` and its accumulator (32: of floats), which costs what it costs whatever runs on it
fusion  Bit Fusion's spatial unit, `bits` x `bits` at its widest, divided among the products that run side by side
serial  `lanes` lanes that share the work of multipliers of `bits` x `bits`, and take `streamed` of the two operands
        (1 as Stripes, 2 as Loom) one bit per cycle
dsp     one multiplier of `bits` x `other_bits` (27 x 18 of a DSP48E2) that several narrow products share
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Unit:
    """One PE: its kind, the width of its multiplier (`other_bits` of the second operand, 0: `bits` too), and its lanes."""

    kind: Literal["fixed", "fusion", "serial", "dsp"]
    bits: int
    other_bits: int = 0
    lanes: int = 1
    streamed: int = 0

    @property
    def width(self) -> float:
        """The width of a square multiplier of as many bit products."""
        return float((self.bits * (self.other_bits or self.bits)) ** 0.5)
