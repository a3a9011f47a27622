"""ILayerNorm (S11a): LayerNorm over the last axis in integers, with the exact integer square root; x (..., C).

    q = (code - zero_point) << fraction
    y = q - round(sum q / C)                                         the mean, rounded half up
    s = max(isqrt(sum y * y + epsilon), 1)                           exact, floor
    n = (y * floor(2^reciprocal_bits / s)) >> (reciprocal_bits - 30)    floor; |n| <= 2^30 because |y| <= s
    code = clamp(round_shift(n * gain[c] + offset[c], shift) + zero_point)       rounding as in S4

n means n * sqrt(C) / 2^30, so gain = weight * sqrt(C) / 2^30 / scale_out * 2^shift, offset = bias / scale_out * 2^shift
and epsilon = C * (epsilon of the layer) / (scale_in / 2^fraction)^2, each to the nearest. A constant row gives its bias.

Source: I-BERT, Kim et al., ICML 2021, and I-ViT, Li and Gu, ICCV 2023, I-LayerNorm.
Departures: the root is exact for every value (I-ViT's released one is wrong by 2 or more up to 34595); epsilon is kept;
gain and offset are integers of their own, where both add floor(bias / weight), which a weight of 0 forbids; `fraction`
gives narrow codes the resolution of 16 bits, without which rounding the mean of 8-bit codes changes four 8-bit results
of ten; `reciprocal_bits` grows where s is so wide that 31 would leave fewer than 10.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.kernels.integer_norm import centre
from hwsim.op import Action, Array, Op, Specs, bounds
from hwsim.ops._codes import WIDTH, centred_wide, need_codes, need_width
from hwsim.ops._norm import (
    N_BITS,
    affine_codes,
    affine_count,
    check_norm,
    epsilon_steps,
    fixed_point,
    float_norm,
    norm_spec,
    roots,
)
from hwsim.ops._normrows import Division, norm_in_rows
from hwsim.spec import QuantSpec, TensorSpec

RESOLUTION_BITS = 16
"""`lower` refines narrower codes to this."""
LEAST_RECIPROCAL_BITS = 10
"""What `lower` leaves the reciprocal of the largest root."""


@dataclass(frozen=True, slots=True)
class ILayerNorm(Op):
    """Input x (..., C) of one scale; codes of `spec`; `gain` and `offset` (C,)."""

    spec: QuantSpec
    gain: tuple[int, ...]
    offset: tuple[int, ...]
    shift: int
    epsilon: int = 0
    fraction: int = 0
    reciprocal_bits: int = 31
    rounding: str = "half_even"

    stands_for = "layernorm"
    source = "I-BERT (Kim et al., ICML 2021) and I-ViT (Li and Gu, ICCV 2023), with the exact root"

    def __post_init__(self) -> None:
        check_norm("ilayernorm", self)
        if not (0 <= self.fraction <= 31 and N_BITS <= self.reciprocal_bits <= WIDTH):
            raise ValueError(
                f"ilayernorm: fraction must be 0..31 and reciprocal_bits {N_BITS}..{WIDTH}, "
                f"got {self.fraction} and {self.reciprocal_bits}"
            )

    @classmethod
    def lower(cls, x: TensorSpec, weight: Array, bias: Array, epsilon: float, out: QuantSpec) -> Self:
        """The operator for codes of `x` and a layer of `weight` and `bias` (C,), giving codes of `out`."""
        scale, channels = need_codes(x, "ilayernorm").scale[0], x.shape[-1]
        fraction = max(0, RESOLUTION_BITS - x.bits)
        gain, offset, shift = fixed_point(weight, bias, math.sqrt(channels) * 2.0**-N_BITS, out, "ilayernorm")
        steps = epsilon_steps(epsilon, channels, math.ldexp(scale, -fraction), "ilayernorm")
        root_bits = math.isqrt(_largest(x, fraction) + steps).bit_length()
        reciprocal_bits = min(max(31, root_bits + LEAST_RECIPROCAL_BITS), WIDTH)
        return cls(out, gain, offset, shift, steps, fraction, reciprocal_bits)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x with the meaning of `spec`; every width is proven here."""
        (x,) = inputs
        out = norm_spec("ilayernorm", self, x)
        need_width(_largest(x, self.fraction) + self.epsilon, "ilayernorm's sum of squares")
        return out

    def division(self, x: TensorSpec) -> Division | None:
        """What `_normrows` needs to know."""
        quant, channels = need_codes(x, "ilayernorm"), x.shape[-1]
        largest = max(-quant.qmin, quant.qmax)
        wide = largest << self.fraction
        fits = channels * largest < 1 << 31 and wide < 1 << 30 and channels * wide * wide < 1 << 60
        fits = fits and (1 << self.reciprocal_bits) // max(math.isqrt(self.epsilon), 1) < 1 << 31
        return Division(1 << N_BITS, 1 << self.fraction, self.fraction, self.reciprocal_bits, N_BITS) if fits else None

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S11a."""
        codes = norm_in_rows(self, values[0], inputs[0])
        if codes is not None:
            return codes
        q = centred_wide(values[0], inputs[0])
        rows = q.reshape(-1, q.shape[-1])
        y, squares = np.empty_like(rows), np.empty(len(rows), dtype=np.int64)
        centre(rows, self.fraction, y, squares)
        factor = (1 << self.reciprocal_bits) // roots(squares + self.epsilon)
        down = np.full(len(rows), self.reciprocal_bits - N_BITS)
        return affine_codes(self, y, factor, down, out).reshape(q.shape)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: sum, subtraction, square and its sum, product with the reciprocal and its shift, gain and offset.
        Per row: the mean (a division), epsilon, the root, the reciprocal."""
        (x,) = inputs
        n, rows = out.elements, out.elements // out.shape[-1]
        bits, factor_bits = x.bits + self.fraction, self.reciprocal_bits
        largest = _largest(x, self.fraction) + self.epsilon
        sum_bits, square_bits = bits + out.shape[-1].bit_length(), largest.bit_length()
        counted = affine_count(self, n)
        counted[Action("shift", bits, bits)] += n if self.fraction else 0
        counted[Action("add", bits, sum_bits)] += n
        counted[Action("add", bits, bits)] += n
        counted[Action("mul", bits + 1, bits + 1)] += n
        counted[Action("add", 2 * bits + 1, square_bits)] += n
        counted[Action("mul", bits + 1, factor_bits)] += n
        counted[Action("shift", factor_bits + 1, factor_bits + 1)] += n
        counted[Action("div", sum_bits, out.shape[-1].bit_length())] += rows
        counted[Action("add", square_bits, square_bits)] += rows
        counted[Action("sqrt", square_bits, square_bits)] += rows
        counted[Action("div", factor_bits + 1, math.isqrt(largest).bit_length())] += rows
        return +counted

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S5 in float64, with the weight, bias and epsilon that the integers stand for."""
        quant, channels = need_codes(inputs[0], "ilayernorm"), x.shape[-1]
        square = math.ldexp(quant.scale[0], -self.fraction) ** 2 / channels
        return float_norm(self, x, math.sqrt(channels) * 2.0**-N_BITS, square)


def _largest(x: TensorSpec, fraction: int) -> int:
    """A bound of the sum of squares: C deviations of half the range, and of the half that rounding the mean adds."""
    low, high = bounds(x)
    span = (high - low) << fraction
    return x.shape[-1] * ((span * span + 1) // 4 + 1)
