"""What quantization stores beside codes: scales, zero points, and the constants of integer operators.

Published sizes leave them out. Counted are, each once per node that holds them:
  scale        of a quantize's grid, one per tensor or channel (head), a float of 32 bits; and of a product's weight, where
               its accumulator is turned back into floats. In the integer form scales are in the multipliers instead.
  zero_point   of a grid with one that is not 0, one for each of its scales, as wide as the grid's codes.
  multiplier, shift, offset, gain, alpha, table, thresholds: of integer operators, each as wide as its widest entry.
"""

from collections import Counter
from dataclasses import dataclass

from hwsim.graph import op_name
from hwsim.op import Op
from hwsim.spec import FLOAT_BITS, IntegerSpec, signed_bits

SCALE, ZERO_POINT = "scale", "zero_point"
CONSTANTS = ("multiplier", "shift", "offset", "gain", "alpha", "table", "thresholds")
"""Attributes of operators of the integer form that are stored, where they are tuples."""


@dataclass(frozen=True, slots=True, order=True)
class Extra:
    """One stored number of `bits`."""

    kind: str
    bits: int


def extras_of(op: Op, weight: IntegerSpec | None = None) -> Counter[Extra]:
    """What a node of this operator stores beside codes; `weight` is the grid of a constant operand that needs its scales."""
    extras: Counter[Extra] = Counter()
    made = getattr(op, "spec", None)
    if weight is not None:
        extras += _scales(weight) + _zero_points(weight)
    if isinstance(made, IntegerSpec):
        extras += _zero_points(made)
        if op_name(op) == "quantize":
            extras += _scales(made)
    for kind in CONSTANTS:
        values = getattr(op, kind, None)
        if isinstance(values, tuple) and values:
            low, high = min(values), max(values)
            extras[Extra(kind, signed_bits(low, high) if low < 0 else max(int(high).bit_length(), 1))] += len(values)
    return extras


def _scales(grid: IntegerSpec) -> Counter[Extra]:
    return Counter({Extra(SCALE, FLOAT_BITS): len(grid.scale)})


def _zero_points(grid: IntegerSpec) -> Counter[Extra]:
    return Counter({Extra(ZERO_POINT, grid.bits): len(grid.zero_point)} if any(grid.zero_point) else {})
