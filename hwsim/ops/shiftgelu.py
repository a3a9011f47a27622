"""ShiftGelu (S13c): x * sigmoid(1.702 x), the sigmoid by exponentials made of shifts; x (..., C).

The exponentials are of differences to the maximum over the last axis, so nothing can be given out before the whole row
of C has come in: this GELU does not stream, and cannot be fused behind the product that makes x. With `unit` =
round(2^fraction / (1.702 S)), q the code less its zero point and top = max(0, max q over the row):

    v = (q - top) << fraction,  p = max(v + (v >> 1) - (v >> 4), -halvings * unit)     log2(e) ~ 1.0111 in binary
    k = floor(-p / unit),  r = p + k * unit              p / unit = r / unit - k, r in (-unit, 0]
    e(q) = ((r >> 1) + unit) << (halvings - k)           2^(r / unit) ~ 1 + r / (2 unit)
    w = floor(2^(sigmoid_bits - 1) * e(q) / (e(q) + e(0)))
    code = clamp(round_shift(q * w, shift))              rounding as in S4; a shift of 0 rounds nothing

Every >> floors. Codes are signed, of zero_point 0 and of scale S * 2^shift / 2^(sigmoid_bits - 1).

Source: I-ViT, Li and Gu, ICCV 2023, ShiftGELU, n = `halvings` = 23 and an 8-bit sigmoid as released.
Departures: the maximum is never below 0, so that e(0) is bounded; `fraction` refines a coarse x, whose unit would be a
few steps; w is one exact division, where the released code multiplies by floor((2^31 - 1) / sum), which has few bits
left for a wide sum and none beyond 31; r / 2 floors, as in its TVM form. With n = 23, what lies 9.4 or more below the row's
maximum has a constant exponential, and where 0 does too the sigmoid is 1/2, however negative x is: `lower` makes
`halvings` as large as the range of x needs, as far as 64-bit arithmetic has room for it.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.kernels.integer_gelu import shift_gelu
from hwsim.kernels.memory import empty
from hwsim.kernels.simd.shiftgelu import shift_gelu_rows
from hwsim.op import Action, Array, Op, Specs, bounds, need
from hwsim.ops._codes import WIDTH, centred_wide, check_rounding, need_codes, need_width, rounded
from hwsim.ops.gelu import Gelu
from hwsim.spec import QuantSpec, TensorSpec

SLOPE = 1.702  # GELU ~ x * sigmoid(1.702 x): Hendrycks and Gimpel 2016
LOG2_E = 1.4375  # 1.0111 in binary: I-ViT (ICCV 2023), ShiftExp
UNIT_BITS, HALVINGS, SIGMOID_BITS = 8, 23, 8
"""`lower` refines the input until the unit has so many bits; what I-ViT's released code has for the other two."""


@dataclass(frozen=True, slots=True)
class ShiftGelu(Op):
    """Input x (..., C) of one scale; signed codes of `bits`."""

    unit: int
    bits: int = 16
    fraction: int = 0
    halvings: int = HALVINGS
    sigmoid_bits: int = SIGMOID_BITS
    shift: int = 0
    rounding: str = "half_even"

    stands_for = "gelu"
    source = "I-ViT (Li and Gu, ICCV 2023), ShiftGELU"

    def __post_init__(self) -> None:
        small = (self.unit, self.halvings, self.sigmoid_bits - 1, self.fraction + 1)
        if not (min(small) >= 1 and self.unit.bit_length() + self.halvings + self.sigmoid_bits - 1 <= WIDTH):
            raise ValueError(
                f"shiftgelu: unit, halvings, sigmoid_bits - 1 and fraction + 1 must be 1 or more, and the first three must "
                f"take {WIDTH} bits or fewer together, got {small}"
            )
        check_rounding("shiftgelu", self.rounding, self.shift)

    @classmethod
    def lower(cls, x: TensorSpec, out: QuantSpec | None = None, bits: int = 16) -> Self:
        """The operator for codes of `x`, with the smallest shift that lets the product fit `bits`; `out` is not asked."""
        scale = need_codes(x, "shiftgelu").scale[0]
        fraction = max(0, UNIT_BITS - math.frexp(1 / SLOPE / scale)[1])
        unit = _unit(scale, fraction)
        most = WIDTH - unit.bit_length() - (SIGMOID_BITS - 1)
        need(most >= HALVINGS, "shiftgelu takes a scale of 2e-10 or more", scale, "give fewer gelu_bits")
        low, high = (end * scale for end in bounds(x))
        halvings = min(most, max(HALVINGS, math.ceil((max(high, 0) - min(low, 0)) * SLOPE * LOG2_E)))
        largest = max(map(abs, bounds(x))) * ((1 << (SIGMOID_BITS - 1)) - 1)
        return cls(unit, bits, fraction, halvings, shift=max(0, largest.bit_length() - (bits - 1)))

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x on the operator's own grid; every width is proven here."""
        (x,) = inputs
        scale = need_codes(x, "shiftgelu").scale[0]
        wanted = _unit(scale, self.fraction)
        need(self.unit == wanted, f"a scale of {scale} has the unit {wanted}", self.unit, "lower it again")
        low, high = bounds(x)
        need_width((max(high, 0) - min(low, 0)) << (self.fraction + 1), "shiftgelu's refined difference")
        need_width(max(abs(low), abs(high)) << (self.sigmoid_bits - 1), "shiftgelu's product")
        grid = QuantSpec(self.bits, True, (math.ldexp(scale, self.shift - self.sigmoid_bits + 1),))
        return TensorSpec(x.shape, grid, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S13c."""
        if _fits_vectors(self, inputs[0]):
            return _in_rows(self, values[0], inputs[0], out)
        q = centred_wide(values[0], inputs[0])
        rows, products = q.reshape(-1, q.shape[-1]), np.empty_like(q)
        shift_gelu(rows, self.fraction, self.unit, self.halvings, self.sigmoid_bits, products.reshape(rows.shape))
        return rounded(products, self.shift, self.rounding, out)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: row maximum and its subtraction, the exponential (three shifts, three adds, a limit and a division,
        which gives k and r), the sum of two, a division, the product, its rounding; the exponential of 0 for each row."""
        n, bits = out.elements, inputs[0].bits
        each = n + n // out.shape[-1]
        p_bits, unit, e_bits = bits + self.fraction + 2, self.unit.bit_length(), self.unit.bit_length() + self.halvings
        w_bits = self.sigmoid_bits - 1
        counted = Counter({Action("max", bits, bits): n, Action("add", bits, bits): n})
        counted[Action("shift", bits, bits)] += each if self.fraction else 0
        for kind, amount in (("shift", 2), ("add", 2), ("max", 1)):
            counted[Action(kind, p_bits, p_bits)] += amount * each
        counted[Action("div", p_bits, unit)] += each
        for kind, width in (("shift", unit), ("add", unit), ("shift", e_bits)):
            counted[Action(kind, width, width)] += each
        counted[Action("add", e_bits, e_bits)] += n
        counted[Action("div", e_bits + w_bits, e_bits + 1)] += n
        counted[Action("mul", bits, w_bits)] += n
        if self.shift:
            counted[Action("add", bits + w_bits, bits + w_bits)] += n
            counted[Action("shift", bits + w_bits, bits + w_bits)] += n
        return +counted

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S7 in float64."""
        return Gelu().run((x,), inputs, out)


def _fits_vectors(op: ShiftGelu, x: TensorSpec) -> bool:
    """Whether 32-bit integers and floats hold all of S13c (kernels/simd/shiftgelu.py); codes of 24 bits, for one, need 64."""
    low, high = bounds(x)
    power = op.sigmoid_bits - 1
    fits = 3 * (high - low) << op.fraction < 1 << 31 and op.halvings * op.unit < 1 << 21
    fits = fits and op.unit << power < 1 << 24 and power <= 16
    return fits and max(-low, high) << power < 1 << 30 and op.shift <= 30


def _in_rows(op: ShiftGelu, codes: Array, x: TensorSpec, out: TensorSpec) -> Array:
    assert x.quant is not None
    assert out.quant is not None
    even = op.rounding == "half_even" and op.shift > 0
    half = 0 if op.rounding == "floor" else (1 << op.shift >> 1) - even
    made = empty(codes.shape, out.quant.container)
    shift_gelu_rows(
        np.ascontiguousarray(codes).reshape(-1, codes.shape[-1]),
        x.quant.zero_point[0],
        op.fraction,
        op.unit,
        -op.halvings * op.unit,
        op.sigmoid_bits - 1,
        half,
        int(even),
        op.shift,
        out.quant.qmin,
        out.quant.qmax,
        made.reshape(-1, codes.shape[-1]),
    )
    return made


def _unit(scale: float, fraction: int) -> int:
    """The unit of codes of `scale` refined by `fraction` bits."""
    return round(math.ldexp(1 / SLOPE / scale, fraction))
