"""Shiftmax (S12a) over the last axis: softmax of integer scores by shifts, and one integer division per row.

Scores (..., N) of one scale S, 0.25 at most, and any zero point; x = q - max q. With `unit` = ceil(1 / S):

    p = x + (x >> 1) - (x >> 4)                  log2(e) is about 1.0111 in binary
    p = max(p, -halvings * unit)
    z = floor(-p / unit),  r = p + z * unit      p / unit = r / unit - z, r in (-unit, 0]
    e = ((r >> 1) + unit) << fraction_bits >> z  2^(r / unit) is about 1 + r / (2 unit)
    factor = floor((2^reciprocal_bits - 1) / sum of e)
    code = (e * factor) >> (reciprocal_bits - bits)

Every shift floors. Codes are unsigned and mean code * 2^-bits.

Source: I-ViT, Li and Gu, ICCV 2023 (arXiv 2207.01405), Shiftmax, with n = 15, 31-bit reciprocal and 16-bit output as in
its released code (the paper says 8 bits). Departures: r / 2 is a flooring shift (the released PyTorch code keeps the
half); shifts go on to the right below 2^-n, so that masked scores become 0, where the released code stops at 2^-n
(`halvings=15` does so too); the output is unsigned with all its bits, where the code's is signed and one bit short; and
`lower` widens the reciprocal.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.kernels.integer_softmax import shift_exp
from hwsim.op import Action, Array, Op, Specs, need
from hwsim.ops._once import once
from hwsim.ops._scores import (
    HALVINGS,
    SUM_BITS,
    check_shifts,
    check_widths,
    differences,
    fitted_scale,
    float_softmax,
    most_fraction_bits,
    need_scores,
    need_sum,
    normalise_count,
    probabilities,
    row_count,
)
from hwsim.ops._tablerows import MOST_BITS, Rows, rows_of, softmax_in_rows
from hwsim.spec import QuantSpec, TensorSpec

FRACTION_BITS = 15
LARGEST_SCALE = 0.25
"""Coarser scores are refused; up to here a probability is within 0.252 of the float one (measured, rows of 65)."""


@dataclass(frozen=True, slots=True)
class Shiftmax(Op):
    """Probabilities of `bits`; the row's sum must fit a signed integer of `sum_bits`, which `infer` proves."""

    unit: int
    bits: int = 16
    fraction_bits: int = FRACTION_BITS
    halvings: int = HALVINGS
    reciprocal_bits: int = 31
    sum_bits: int = SUM_BITS

    stands_for = "softmax"
    source = "I-ViT (Li and Gu, ICCV 2023), Shiftmax"

    def __post_init__(self) -> None:
        if not 1 <= self.unit <= 1 << 31:
            raise ValueError(f"shiftmax: unit must be 1..2**31, got {self.unit}")
        check_shifts("shiftmax", self.fraction_bits, self.halvings)
        check_widths("shiftmax", self.bits, self.reciprocal_bits, self.sum_bits)

    @classmethod
    def lower(cls, scores: TensorSpec, bits: int = 16) -> Self:
        """The operator for these scores: n = 15, or as many fraction bits as the row's sum leaves; a wider reciprocal.

        The released 31 bits leave a quotient of 3 where the sum has 30: up to a quarter of a row is lost (measured).
        """
        unit = unit_of(need_scores(scores, "shiftmax", LARGEST_SCALE))
        need_sum(scores.shape[-1], unit, SUM_BITS)
        fraction_bits = min(FRACTION_BITS, most_fraction_bits(scores.shape[-1], unit))
        op = cls(unit, bits, fraction_bits, reciprocal_bits=SUM_BITS - 1 + bits)
        op.infer((scores,))
        return op

    @staticmethod
    def fitted_scale(scale: float) -> float:
        """The least scale from `scale` on whose unit is exact, 1 / k: rounding 1 / S up costs up to 0.12 of a probability."""
        return fitted_scale(scale, 1.0)

    @property
    def largest(self) -> int:
        """The weight of a row's maximum, the largest there is."""
        return self.unit << self.fraction_bits

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of the scores; unsigned codes of `bits`, a full range of probabilities."""
        (scores,) = inputs
        scale = need_scores(scores, "shiftmax", LARGEST_SCALE)
        unit = unit_of(scale)
        need(self.unit == unit, f"a score scale of {scale} has unit {unit}", self.unit, "lower again")
        need_sum(scores.shape[-1], self.largest, self.sum_bits)
        return TensorSpec(scores.shape, QuantSpec(self.bits, False, (2.0**-self.bits,)), scores.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S12a."""
        (scores,) = values
        codes = softmax_in_rows(self, scores, inputs[0])
        if codes is not None:
            return codes
        weights = _weights(self, differences(scores))
        numerator, shift = (1 << self.reciprocal_bits) - 1, self.reciprocal_bits - self.bits
        return probabilities(weights, numerator, shift, 0, out).reshape(scores.shape)

    def rows(self, scores: TensorSpec) -> Rows | None:
        """The constants of its row kernel."""
        return _rows(self, scores)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: maximum, subtraction, the exponential, sum, product and shift; per row a division."""
        (scores,) = inputs
        n, width, unit, weight = scores.elements, scores.bits + 2, self.unit.bit_length(), self.largest.bit_length()
        counted = row_count(scores, self.largest) + normalise_count(scores, self.largest, self.reciprocal_bits)
        counted[Action("shift", width, width)] += 2 * n  # times log2(e)
        counted[Action("add", width, width)] += 2 * n + n  # and p + z * unit
        counted[Action("div", width, unit)] += n
        counted[Action("mul", width, unit)] += n
        counted[Action("shift", unit, unit)] += n
        counted[Action("add", unit, unit)] += n
        counted[Action("shift", weight, weight)] += n
        return counted

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S6."""
        return float_softmax(x)


def _weights(op: Shiftmax, x: Array) -> Array:
    weights = np.empty(x.shape, dtype=np.int64)
    shift_exp(x.reshape(-1), op.unit, op.fraction_bits, op.halvings, weights.reshape(-1))
    return weights


@once
def _rows(op: Shiftmax, scores: TensorSpec) -> Rows | None:
    if scores.bits > MOST_BITS:
        return None
    weights, numerator = _weights(op, -np.arange(1 << scores.bits)), (1 << op.reciprocal_bits) - 1
    return rows_of(weights, numerator, op.reciprocal_bits - op.bits, 0, op.bits, scores.shape[-1])


def unit_of(scale: float) -> int:
    """How many steps of `scale` make 1, rounded up (a quotient within 1e-6 of an integer is that integer)."""
    return math.ceil(1 / scale - 1e-6)
