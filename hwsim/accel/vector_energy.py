"""What an action of the vector unit costs, composed of additions and multiplications of the table's own.

All compositions are inferred by us, except float division: 7.1 multiplications (printed: measured on a Cortex-M4F,
PMC8934428, table 3). A comparison and a shift count as an addition of that width (the source above prices comparisons so).

    integers  div: one subtraction per quotient bit; sqrt: one per result bit; mul of a x b bits: a multiplier of sqrt(a b)
    exp       range reduction and a polynomial of degree 5: 6 mul, 6 add
    erf       exp, a polynomial of degree 5 and a division (Abramowitz-Stegun 7.1.26); tanh: exp, div, 2 add
    lookup    b bits from an SRAM of 2^a words; move: a register read and a register written
    quantize  float mul, integer add to round, 2 to clamp; dequantize: add, float mul
    requantize  mul by a multiplier of 31 bits (S4), shift, add to round, 2 to clamp

Where either operand has 32 bits the action is of floats (`hwsim.op.Action`), except in requantize and dequantize, whose
input is an integer accumulator.
"""

from hwsim import catalog
from hwsim.accel.prices import Energy, Sram
from hwsim.spec import FLOAT_BITS

KINDS = (
    "mac", "add", "mul", "div", "exp", "erf", "tanh", "sqrt", "max", "shift", "lookup", "quantize", "requantize",
    "dequantize", "move",
)  # fmt: skip
FLOAT_DIVISION = 7.1
MULTIPLIER_BITS = 31
_WIDEST_TABLE = 24
"""Address bits of the largest table that a lookup is taken to read."""


def pj_of(energy: Energy, sram: Sram, kind: str, a_bits: int, b_bits: int) -> float:
    """pJ of one action of this kind; raises UnknownName."""
    if kind == "lookup":
        kib = 2 ** min(a_bits, _WIDEST_TABLE) * b_bits / 8 / 1024
        return b_bits * float(sram.at("read", kib))
    if kind == "move":
        return 2 * energy.at("registers", a_bits)
    if kind in ("quantize", "dequantize", "requantize"):
        return _conversion(energy, kind, a_bits, b_bits)
    return _arithmetic(energy, kind, a_bits, b_bits)


def _conversion(energy: Energy, kind: str, a_bits: int, b_bits: int) -> float:
    if kind == "dequantize":
        return energy.at("add", a_bits) + energy.at("float_multiply", FLOAT_BITS)
    if kind == "quantize":
        return energy.at("float_multiply", FLOAT_BITS) + 3 * energy.at("add", FLOAT_BITS)
    product = a_bits + MULTIPLIER_BITS
    scaled = energy.at("multiply", (a_bits * MULTIPLIER_BITS) ** 0.5)
    return scaled + 2 * energy.at("add", product) + 2 * energy.at("add", a_bits)


def _arithmetic(energy: Energy, kind: str, a_bits: int, b_bits: int) -> float:
    """The kinds that are made of `mul`, `add` and `div` of one domain."""
    floats = FLOAT_BITS in (a_bits, b_bits)
    wide = max(a_bits, b_bits)
    mul = energy.at("float_multiply", FLOAT_BITS) if floats else energy.at("multiply", (a_bits * b_bits) ** 0.5)
    add = energy.at("float_add", FLOAT_BITS) if floats else energy.at("add", wide)
    step = energy.at("add", wide)
    div = FLOAT_DIVISION * mul if floats else a_bits * energy.at("add", b_bits)
    exp = 6 * mul + 6 * add
    costs = {
        "mac": mul + add,
        "add": add,
        "mul": mul,
        "div": div,
        "exp": exp,
        "erf": exp + div + 6 * mul + 6 * add,
        "tanh": exp + div + 2 * add,
        "sqrt": div if floats else a_bits / 2 * step,
        "max": step,
        "shift": step,
    }
    if kind not in costs:
        raise catalog.unknown("action", kind, KINDS)
    return costs[kind]
