"""Log-int-softmax (S12c) over the last axis: softmax of integer scores as log2 codes, by a polynomial and comparisons.

Weights e as in S12b, `IBertSoftmax`. With sum the row's sum of e and last = 2^bits - 1:

    code = min(j, last),  j the least integer with sum / e < 1.5 * 2^j        (e = 0: last)

which is the position of the leading one of sum / e, plus the bit behind it. Code j means 2^-j, the last one 0 where
`zero` is set (S14): a product with it is a shift, and rows do not add up to 1.

Source: FQ-ViT, Lin et al., IJCAI 2022 (arXiv 2111.13824), Log-Int-Softmax, and its released code. Departures: that code
rounds sum / e to an integer before it looks at its bits, so that its boundaries are 2.5, 5.5, 11.5 and so on; its shift
n = 30 needs 38 to 45 bits for one weight; and it makes 0 of all that is beyond the last code besides, one level more
than the bits hold.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.grids.log2 import log2
from hwsim.kernels.integer_softmax import log_codes
from hwsim.op import Action, Array, Op, Specs, need
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
from hwsim.ops._scores import HALVINGS, SUM_BITS, check_shifts, float_softmax, need_sum, row_bits, row_count
from hwsim.ops._tablerows import MOST_BITS as TABLE_BITS
from hwsim.ops._tablerows import log_codes_in_rows, table_of
from hwsim.spec import TensorSpec

MOST_BITS = 5
"""Widest codes, of which the last is 0: the largest power of two that a 32-bit integer holds is 2^30."""


@dataclass(frozen=True, slots=True)
class LogIntSoftmax(Op):
    """Log2 codes of `bits`; the row's sum must fit a signed integer of `sum_bits`, which `infer` proves."""

    ln2: int
    b: int
    c: int
    fraction_bits: int
    bits: int = 4
    zero: bool = True
    halvings: int = HALVINGS
    sum_bits: int = SUM_BITS

    stands_for = "softmax"
    source = "FQ-ViT (Lin et al., IJCAI 2022), log-int-softmax"

    def __post_init__(self) -> None:
        check_polynomial("logintsoftmax", self.ln2, self.b, self.c)
        check_shifts("logintsoftmax", self.fraction_bits, self.halvings)
        if not 2 <= self.sum_bits <= 61:
            raise ValueError(f"logintsoftmax: sum_bits must be 2..61, got {self.sum_bits}")
        log2(self.bits, zero=self.zero)

    @classmethod
    def lower(cls, scores: TensorSpec, bits: int = 4) -> Self:
        """The operator for these scores, with as many fraction bits as the row's sum leaves."""
        need(1 <= bits <= MOST_BITS, f"log2 codes have 1..{MOST_BITS} bits", bits, f"give softmax_bits 1..{MOST_BITS}")
        op = cls(*lowered_polynomial(scores), bits)
        op.infer((scores,))
        return op

    fitted_scale = staticmethod(fitted_polynomial_scale)

    @property
    def largest(self) -> int:
        """The weight of a row's maximum, the largest there is."""
        return self.c << self.fraction_bits

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of the scores; log2 codes of `bits`."""
        (scores,) = inputs
        need_polynomial(scores, (self.ln2, self.b, self.c))
        need_sum(scores.shape[-1], self.largest, self.sum_bits)
        return TensorSpec(scores.shape, log2(self.bits, zero=self.zero, rounding="lis"), scores.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S12c."""
        (scores,) = values
        assert out.quant is not None
        table = _table(self, inputs[0]) if scores.dtype.itemsize <= 2 else None
        if table is not None:
            return log_codes_in_rows(table, scores, out.quant.qmax)
        constants = self.ln2, self.b, self.c
        weights = polynomial_weights(scores, constants, self.fraction_bits, self.halvings)
        codes = np.empty(weights.shape, dtype=out.quant.container)
        log_codes(weights, out.quant.qmax, codes)
        return codes.reshape(scores.shape)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: maximum, subtraction, the exponential, sum, division, and a shift for the leading one."""
        (scores,) = inputs
        total, weight = row_bits(scores.shape[-1], self.largest), self.largest.bit_length()
        counted = row_count(scores, self.largest) + polynomial_count(scores, (self.ln2, self.b, self.c), self.largest)
        counted[Action("div", total, weight)] += scores.elements
        counted[Action("shift", total, total)] += scores.elements
        return counted

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S6."""
        return float_softmax(x)


@once
def _table(op: LogIntSoftmax, scores: TensorSpec) -> Array | None:
    """The weights of every difference, or None where 32-bit lanes do not hold all."""
    if scores.bits > TABLE_BITS:
        return None
    weights = weights_of(-np.arange(1 << scores.bits), (op.ln2, op.b, op.c), op.fraction_bits, op.halvings)
    return table_of(weights, scores.shape[-1])
