"""The operands of a stage's product as a precision scheme takes them: their widths, and what was measured of their codes.

Measured activity (`hwsim.accel.activity`) tells bit-serial units how many bits they stream (groups of 256 codes that wait
for the widest where a PE has so many lanes, else of 16), units that skip zeros how many there are, and the price of a MAC
how many bits toggle. Without it every bit counts, and bits toggle as random ones do.
"""

from hwsim.accel.activity import GROUPS, Activity, OperandActivity
from hwsim.accel.program import Stage
from hwsim.accel.scheme import Operand, Scheme
from hwsim.errors import HwsimError
from hwsim.spec import FLOAT_BITS

RANDOM_TOGGLES = 0.5
"""Share of bits that change between random codes: what energy tables take for granted."""


def operands_of(stage: Stage, scheme: Scheme, activity: Activity | None) -> tuple[tuple[Operand, Operand], float]:
    """The operands of a stage's product as `scheme` takes them, and the share of their bits that toggle."""
    gemm = stage.gemm
    if activity is None or FLOAT_BITS in (gemm.a_bits, gemm.b_bits):
        return (Operand(gemm.a_bits), Operand(gemm.b_bits)), RANDOM_TOGGLES
    found = activity.of(stage.nodes[0])
    for side, bits, seen in zip("ab", (gemm.a_bits, gemm.b_bits), found, strict=True):
        if seen.bits != bits:
            raise HwsimError(
                f"activity: {stage.nodes[0]} must have {bits} bits at {side}, got {seen.bits}; measure this very model"
            )
    group = GROUPS[1] if getattr(scheme, "lanes", 1) >= GROUPS[1] else GROUPS[0]

    def operand(seen: OperandActivity) -> Operand:
        return Operand(seen.bits, seen.group_bits(group), seen.zeros)

    return (operand(found.a), operand(found.b)), (found.a.toggles + found.b.toggles) / 2
