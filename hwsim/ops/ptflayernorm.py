"""PtfLayerNorm (S11b): LayerNorm over the last axis of codes whose channels have scales s * 2^k; x (..., C).

    q = (code - zero_point) * 2^alpha[c]                            all channels in one scale; a right shift floors
    y = C * q - sum q
    s = max(isqrt(C * sum q * q - (sum q)^2 + epsilon), 1)          exact, floor; C^2 times the variance
    M = min(floor(2^N / s), 2^multiplier_bits - 1),  N = bits of s - 1 + multiplier_bits       leading one of M on top
    n = (y * M) >> (N - 22)                                         floor; to the left where N < 22
    code = clamp(round_shift(n * gain[c] + offset[c], shift) + zero_point)       rounding as in S4

n means n / 2^22, so gain = weight / 2^22 / scale_out * 2^shift, offset = bias / scale_out * 2^shift and epsilon = C^2 *
(epsilon of the layer) / (scale_in[c] / 2^alpha[c])^2, each to the nearest. A constant row gives its bias.

Source: FQ-ViT, Lin et al., IJCAI 2022, power-of-two factor and integer LayerNorm, `multiplier_bits` = 8 as there.
Departures: M is found in integers and once for each token, where the released code finds one for each token and channel,
the weight inside it, by float logarithms; root and division are integer; epsilon is kept (released: a constant token
divides by 0); the mean is exact; `alpha` may hold a common shift too, to the left for narrow codes, whose root would
be of few bits, and to the right for codes so wide that the sum of squares would not fit.

Rows are computed in 32-bit lanes (`_normrows`) where C is a multiple of 16, no alpha is negative and N is 54 at most, as
it is with `multiplier_bits` up to 25, and with more where C times the range of q has less than 30 bits. Others take a pass
per equation in 64 bits.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.kernels.integer_norm import mantissa, spread
from hwsim.op import Action, Array, Op, Specs, need
from hwsim.ops._codes import centred_wide, need_codes, need_width
from hwsim.ops._norm import (
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
from hwsim.spec import QuantSpec, TensorSpec, describe

FRACTION_BITS = 22
"""Of n; with 2^14 channels or fewer n stays within 30 bits."""
MOST_CHANNELS, SUM_BITS = 1 << 14, 30
RESOLUTION_BITS = 16
"""`lower` refines narrower codes to this."""


@dataclass(frozen=True, slots=True)
class PtfLayerNorm(Op):
    """Input x (..., C) of one scale or of one for each of the last axis; codes of `spec`; alpha, gain, offset (C,)."""

    spec: QuantSpec
    alpha: tuple[int, ...]
    gain: tuple[int, ...]
    offset: tuple[int, ...]
    shift: int
    epsilon: int = 0
    multiplier_bits: int = 8
    rounding: str = "half_even"

    stands_for = "layernorm"
    source = "FQ-ViT (Lin et al., IJCAI 2022), power-of-two factor, integer LayerNorm"

    def __post_init__(self) -> None:
        check_norm("ptflayernorm", self)
        if not 1 <= self.multiplier_bits <= 31:
            raise ValueError(f"ptflayernorm: multiplier_bits must be 1..31, got {self.multiplier_bits}")
        for index, alpha in enumerate(self.alpha):
            if not -31 <= alpha <= 31:
                raise ValueError(f"ptflayernorm: alpha must be -31..31, got {alpha} at {index}")

    @classmethod
    def lower(cls, x: TensorSpec, weight: Array, bias: Array, epsilon: float, out: QuantSpec) -> Self:
        """The operator for codes of `x` and a layer of `weight` and `bias` (C,), giving codes of `out`."""
        quant, channels = need_codes(x, "ptflayernorm", len(x.shape) - 1), x.shape[-1]
        powers = _powers(quant, channels)
        common = max(0, RESOLUTION_BITS - _span(quant, powers).bit_length())
        while True:  # the finest common scale whose sum of squares fits
            alpha = tuple(power + common for power in powers)
            span, step = channels * _span(quant, alpha), math.ldexp(min(quant.scale), -common)
            steps = epsilon_steps(epsilon, channels * channels, step, "ptflayernorm")
            if common == -31 or span * span + steps < 1 << 2 * SUM_BITS:
                break
            common -= 1
        gain, offset, shift = fixed_point(weight, bias, 2.0**-FRACTION_BITS, out, "ptflayernorm")
        return cls(out, alpha, gain, offset, shift, steps)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x with the meaning of `spec`; every width is proven here."""
        (x,) = inputs
        quant, channels = need_codes(x, "ptflayernorm", len(x.shape) - 1), x.shape[-1]
        out = norm_spec("ptflayernorm", self, x, len(x.shape) - 1)
        need(len(self.alpha) == channels, f"{channels} exponents alpha are needed", len(self.alpha), "lower it again")
        powers = _powers(quant, channels)
        common = {alpha - power for alpha, power in zip(self.alpha, powers, strict=True)}
        need(len(common) == 1, "alpha must bring all channels to one scale", sorted(common), "lower it again")
        need(
            channels <= MOST_CHANNELS, f"ptflayernorm takes up to {MOST_CHANNELS} channels", channels, "use ilayernorm"
        )
        span = channels * _span(quant, self.alpha)
        need_width(span * span + self.epsilon, "ptflayernorm's sum of squares", 2 * SUM_BITS)
        return out

    def division(self, x: TensorSpec) -> Division | None:
        """What `_normrows` needs to know. `infer` proves C * span < 2^30, which bounds C * |q| and sums of codes too.

        y^2 is at most C - 1 times C^2 variances, whose root is less than s + 1 and so, unless all y are 0, 2 s at most:
        |n| <= 2 * sqrt(C - 1) * 2^22.
        """
        quant, channels = need_codes(x, "ptflayernorm", len(x.shape) - 1), x.shape[-1]
        span = channels * _span(quant, self.alpha)
        root_bits = math.isqrt(span * span // 4 + self.epsilon).bit_length()
        if min(self.alpha) < 0 or root_bits - 1 + self.multiplier_bits - FRACTION_BITS > 32:
            return None
        apart, alpha = None, self.alpha[0]
        if len({*self.alpha}) > 1 or len({*quant.zero_point}) > 1:
            shifts = np.array(self.alpha, np.int32)
            apart, alpha = (shifts, np.array(quant.zero_point, np.int32) << shifts), 0
        n_max = 2 * (math.isqrt(channels - 1) + 1) << FRACTION_BITS
        return Division(n_max, channels << alpha, alpha, self.multiplier_bits, FRACTION_BITS, True, apart)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S11b."""
        codes = norm_in_rows(self, values[0], inputs[0])
        if codes is not None:
            return codes
        q = centred_wide(values[0], inputs[0])
        rows = q.reshape(-1, q.shape[-1])
        y, squares = np.empty_like(rows), np.empty(len(rows), dtype=np.int64)
        spread(rows, np.array(self.alpha, dtype=np.int64), y, squares)
        factor, down = np.empty_like(squares), np.empty_like(squares)
        mantissa(roots(squares + self.epsilon), self.multiplier_bits, factor, down)
        return affine_codes(self, y, factor, down - FRACTION_BITS, out).reshape(q.shape)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: alpha's shift, sum, product with C and subtraction, square and its sum, product with M and its
        shift, gain and offset. Per row: C times the squares less the square of the sum, epsilon, the root, M."""
        (x,) = inputs
        n, rows, channels = out.elements, out.elements // out.shape[-1], out.shape[-1]
        quant = need_codes(x, "ptflayernorm", len(x.shape) - 1)
        bits, c_bits, m_bits = _span(quant, self.alpha).bit_length(), channels.bit_length(), self.multiplier_bits
        y_bits, square_bits = bits + c_bits, 2 * (bits + c_bits)
        counted = affine_count(self, n)
        counted[Action("shift", x.bits, bits)] += n if any(self.alpha) else 0
        counted[Action("add", bits, y_bits)] += n
        counted[Action("mul", bits, c_bits)] += n
        counted[Action("add", y_bits, y_bits)] += n
        counted[Action("mul", bits, bits)] += n
        counted[Action("add", 2 * bits, 2 * bits + c_bits)] += n
        counted[Action("mul", y_bits, m_bits)] += n
        counted[Action("shift", y_bits + m_bits, y_bits + m_bits)] += n
        counted[Action("mul", 2 * bits + c_bits, c_bits)] += rows
        counted[Action("mul", y_bits, y_bits)] += rows
        counted[Action("add", square_bits, square_bits)] += 2 * rows
        counted[Action("sqrt", square_bits, square_bits)] += rows
        counted[Action("div", y_bits + m_bits, y_bits)] += rows
        return +counted

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S5 in float64, with the weight, bias and epsilon that the integers stand for."""
        quant = need_codes(inputs[0], "ptflayernorm", len(inputs[0].shape) - 1)
        step = math.ldexp(quant.scale[0], -self.alpha[0]) / x.shape[-1]
        return float_norm(self, x, 2.0**-FRACTION_BITS, step * step)


def _powers(quant: QuantSpec, channels: int) -> tuple[int, ...]:
    """k of each channel's scale s * 2^k, s the smallest of them; IllegalModel where they are not so."""
    parts = [math.frexp(scale) for scale in quant.scale]
    apart = len({fraction for fraction, _ in parts}) == 1
    need(apart, "ptflayernorm takes scales that are powers of two apart", describe(quant), "round them to such")
    least = min(exponent for _, exponent in parts)
    powers = tuple(exponent - least for _, exponent in parts)
    need(max(powers) <= 31, "ptflayernorm takes scales up to 2**31 apart", f"2**{max(powers)}", "calibrate them again")
    return powers * (channels // len(parts))


def _span(quant: QuantSpec, alpha: Iterable[int]) -> int:
    """Largest less smallest q, over all channels."""
    alphas = tuple(alpha)
    zeros = quant.zero_point * (len(alphas) // len(quant.zero_point))
    lows = (_shifted(quant.qmin - zero, a) for zero, a in zip(zeros, alphas, strict=True))
    highs = (_shifted(quant.qmax - zero, a) for zero, a in zip(zeros, alphas, strict=True))
    return max(highs) - min(lows)


def _shifted(value: int, alpha: int) -> int:
    return value << alpha if alpha >= 0 else value >> -alpha
