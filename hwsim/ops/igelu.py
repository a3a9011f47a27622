"""IGelu (S13b): i-GELU, the erf of GELU by a parabola, on integers.

    erf(z) ~ sgn(z) * (1 - 0.2888 * (min(|z|, 1.769) - 1.769)^2),   z = x / sqrt(2)

With x = q of scale S (q less its zero point), z in steps of S / sqrt(2) / 2^fraction makes 1.769 the integer b, and erf
in steps of 0.2888 times their square makes 1 the integer c, both to the nearest:

    u = min(|q| << fraction, b) - b
    w = (sgn(q) * (c - u * u) + c) >> erf_shift         floor; stands for erf + 1, and is 2c >> erf_shift for large x
    code = clamp(round_shift(q * w, shift))             rounding as in S4; a shift of 0 rounds nothing

Codes are signed, of zero_point 0 and of scale S * 2^shift / (2c >> erf_shift), so that a large x stays x.

Source: I-BERT, Kim et al., ICML 2021, i-GELU. Departures: the released code always drops 14 bits of
erf, which suits a 32-bit accumulator and leaves nothing of 8-bit codes; here `fraction` refines a coarse input until b
has 11 bits, and `erf_shift` drops what w has beyond 24. b and c are rounded to the nearest, not up; the product is
rounded to the width of the output here.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.kernels.integer_gelu import polynomial_gelu
from hwsim.op import Action, Array, Op, Specs, bounds, need
from hwsim.ops._codes import WIDTH, centred_wide, check_rounding, from_table, need_codes, need_width, rounded
from hwsim.ops._once import once
from hwsim.ops.gelu import Gelu
from hwsim.spec import QuantSpec, TensorSpec

A, B = 0.2888, 1.769  # I-BERT (ICML 2021), i-GELU
B_BITS, WEIGHT_BITS = 11, 24
"""What b has at least and w at most, as `lower` makes them."""

TABLE_BITS = 16
"""Widest input whose results are computed once, for every code, and looked up."""


@dataclass(frozen=True, slots=True)
class IGelu(Op):
    """Input x of any shape and one scale; signed codes of `bits`."""

    b: int
    c: int
    bits: int = 16
    fraction: int = 0
    erf_shift: int = 0
    shift: int = 0
    rounding: str = "half_even"

    stands_for = "gelu"
    source = "I-BERT (Kim et al., ICML 2021), i-GELU"

    def __post_init__(self) -> None:
        if not 1 <= self.b * self.b <= self.c < 1 << WIDTH - 1:
            raise ValueError(f"igelu: 1 <= b * b <= c < 2**61 must hold, got b={self.b} and c={self.c}")
        if not (0 <= self.fraction <= WIDTH and 0 <= self.erf_shift < (2 * self.c).bit_length()):
            raise ValueError(
                f"igelu: fraction must be 0..{WIDTH} and erf_shift must leave a bit of 2 * c, "
                f"got {self.fraction} and {self.erf_shift}"
            )
        check_rounding("igelu", self.rounding, self.shift)

    @classmethod
    def lower(cls, x: TensorSpec, out: QuantSpec | None = None, bits: int = 16) -> Self:
        """The operator for codes of `x`, with the smallest shift that lets the product fit `bits`; `out` is not asked."""
        scale = need_codes(x, "igelu").scale[0]
        fraction = max(0, B_BITS - math.frexp(B * math.sqrt(2) / scale)[1])
        need_width(max(map(abs, bounds(x))) << fraction, "igelu's refined input")
        b, c = _constants(scale, fraction)
        need_width(2 * c, "igelu's erf")
        erf_shift = max(0, (2 * c).bit_length() - WEIGHT_BITS)
        low, high = bounds(x)
        end = np.array([max(high, 0)], dtype=np.int64)
        polynomial_gelu(end.copy(), fraction, b, c, erf_shift, end)
        dip = min(4 * b**3 // 27 >> fraction, max(-low, 0) * b * b) >> erf_shift  # |q| * u * u is largest at b / 3
        shift = max(0, max(int(end[0]), dip).bit_length() - (bits - 1))
        return cls(b, c, bits, fraction, erf_shift, shift)

    @property
    def one(self) -> int:
        """The w of a large x: 2, in steps of erf."""
        return 2 * self.c >> self.erf_shift

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x on the operator's own grid; every width is proven here."""
        (x,) = inputs
        scale = need_codes(x, "igelu").scale[0]
        wanted = _constants(scale, self.fraction)
        need((self.b, self.c) == wanted, f"a scale of {scale} has b, c = {wanted}", (self.b, self.c), "lower it again")
        largest = max(map(abs, bounds(x)))
        need_width(largest << self.fraction, "igelu's refined input")
        need_width(largest * self.one, "igelu's product")
        grid = QuantSpec(self.bits, True, (math.ldexp(scale, self.shift) / self.one,))
        return TensorSpec(x.shape, grid, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S13b."""
        quant = inputs[0].quant
        assert quant is not None
        if quant.bits <= TABLE_BITS:
            return from_table(values[0], quant.qmin, _entries(self, inputs[0], out))
        return _computed(self, values[0], inputs[0], out)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: minimum, two adds, the square, the product, the rounding add, and the shifts that are not 0."""
        bits, b_bits, erf_bits = inputs[0].bits, self.b.bit_length() + 1, (2 * self.c).bit_length() + 1
        w_bits = self.one.bit_length()
        n = out.elements
        counted = Counter({Action("max", bits + self.fraction, b_bits): n, Action("mul", b_bits, b_bits): n})
        counted[Action("mul", bits, w_bits)] += n
        counted[Action("add", b_bits, b_bits)] += n
        counted[Action("add", erf_bits, erf_bits)] += 2 * n
        for shift, width in ((self.fraction, bits), (self.erf_shift, erf_bits), (self.shift, bits + w_bits)):
            counted[Action("shift", width, width)] += n if shift else 0
        counted[Action("add", bits + w_bits, bits + w_bits)] += n if self.shift else 0
        return +counted

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S7 in float64."""
        return Gelu().run((x,), inputs, out)


def _constants(scale: float, fraction: int) -> tuple[int, int]:
    """b and c for codes of `scale` refined by `fraction` bits."""
    steps = math.ldexp(math.sqrt(2) / scale, fraction)
    return round(B * steps), round(steps * steps / A)


@once
def _entries(op: IGelu, x: TensorSpec, out: TensorSpec) -> Array:
    """S13b of every code there is."""
    assert x.quant is not None
    return _computed(op, x.quant.codebook(), x, out)


def _computed(op: IGelu, codes: Array, x: TensorSpec, out: TensorSpec) -> Array:
    q = centred_wide(codes, x)
    products = np.empty_like(q)
    polynomial_gelu(q.reshape(-1), op.fraction, op.b, op.c, op.erf_shift, products.reshape(-1))
    return rounded(products, op.shift, op.rounding, out)
