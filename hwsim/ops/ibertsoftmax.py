"""I-BERT's softmax (S12b) over the last axis: the exponential of integer scores by a polynomial of degree two.

Scores (..., N) of one scale S, 0.1 at most, and any zero point; x = q - max q. With A = 0.35815147, B = 0.96963238 and
ln2 = ceil(0.6931 / S), b = floor(B / (A S)), c = floor(1 / (A S^2)), which `lower` computes once:

    p = max(x, -halvings * ln2)
    z = floor(-p / ln2),  r = p + z * ln2               r in (-ln2, 0]
    e = (r * (r + b) + c) << fraction_bits >> z         A r^2 + B r + 1 is about exp(r)
    factor = floor(2^reciprocal_bits / sum of e)
    code = min((e * factor) >> (reciprocal_bits - bits), 2^bits - 1)

Every shift floors. Codes are unsigned and mean code * 2^-bits.

Source: I-BERT, Kim et al., ICML 2021 (arXiv 2101.01321), i-exp, constants as in its released code. Departures: that code
shifts by n = 30 to the left, which needs 38 to 45 bits for one weight, and then brings the weights to 16 bits by
running statistics; here n is the largest for which a row's sum fits `sum_bits`, the weights stay as they are, and the
reciprocal is as much wider as its quotient needs. Shifts go on to the right, so that masked scores become 0.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.op import Action, Array, Op, Specs
from hwsim.ops._once import once
from hwsim.ops._polynomial import (
    check_polynomial,
    fitted_polynomial_scale,
    lowered_polynomial,
    need_polynomial,
    polynomial_count,
    polynomial_weights,
    weights_of,
)
from hwsim.ops._scores import (
    HALVINGS,
    SUM_BITS,
    check_shifts,
    check_widths,
    float_softmax,
    need_sum,
    normalise_count,
    probabilities,
    row_count,
)
from hwsim.ops._tablerows import MOST_BITS, Rows, rows_of, softmax_in_rows
from hwsim.spec import QuantSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class IBertSoftmax(Op):
    """Probabilities of `bits`; the row's sum must fit a signed integer of `sum_bits`, which `infer` proves."""

    ln2: int
    b: int
    c: int
    fraction_bits: int
    bits: int = 16
    reciprocal_bits: int = 47
    halvings: int = HALVINGS
    sum_bits: int = SUM_BITS

    stands_for = "softmax"
    source = "I-BERT (Kim et al., ICML 2021), i-exp and integer softmax"

    def __post_init__(self) -> None:
        check_polynomial("ibertsoftmax", self.ln2, self.b, self.c)
        check_shifts("ibertsoftmax", self.fraction_bits, self.halvings)
        check_widths("ibertsoftmax", self.bits, self.reciprocal_bits, self.sum_bits)

    @classmethod
    def lower(cls, scores: TensorSpec, bits: int = 16) -> Self:
        """The operator for these scores, with as many fraction bits as the row's sum leaves."""
        op = cls(*lowered_polynomial(scores), bits, SUM_BITS - 1 + bits)
        op.infer((scores,))
        return op

    fitted_scale = staticmethod(fitted_polynomial_scale)

    @property
    def largest(self) -> int:
        """The weight of a row's maximum, the largest there is."""
        return self.c << self.fraction_bits

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of the scores; unsigned codes of `bits`, a full range of probabilities."""
        (scores,) = inputs
        need_polynomial(scores, (self.ln2, self.b, self.c))
        need_sum(scores.shape[-1], self.largest, self.sum_bits)
        return TensorSpec(scores.shape, QuantSpec(self.bits, False, (2.0**-self.bits,)), scores.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S12b."""
        (scores,) = values
        codes = softmax_in_rows(self, scores, inputs[0])
        if codes is not None:
            return codes
        constants = self.ln2, self.b, self.c
        weights = polynomial_weights(scores, constants, self.fraction_bits, self.halvings)
        numerator, shift = 1 << self.reciprocal_bits, self.reciprocal_bits - self.bits
        return probabilities(weights, numerator, shift, 0, out).reshape(scores.shape)

    def rows(self, scores: TensorSpec) -> Rows | None:
        """The constants of its row kernel."""
        return _rows(self, scores)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: maximum, subtraction, the exponential, sum, product and shift; per row a division."""
        (scores,) = inputs
        counted = row_count(scores, self.largest) + normalise_count(scores, self.largest, self.reciprocal_bits)
        return counted + polynomial_count(scores, (self.ln2, self.b, self.c), self.largest)

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S6."""
        return float_softmax(x)


@once
def _rows(op: IBertSoftmax, scores: TensorSpec) -> Rows | None:
    if scores.bits > MOST_BITS:
        return None
    weights = weights_of(-np.arange(1 << scores.bits), (op.ln2, op.b, op.c), op.fraction_bits, op.halvings)
    numerator, shift = 1 << op.reciprocal_bits, op.reciprocal_bits - op.bits
    return rows_of(weights, numerator, shift, 0, op.bits, scores.shape[-1])
