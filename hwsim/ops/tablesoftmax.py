"""Softmax by a table (S12d) over the last axis: one look-up per score, one integer reciprocal per row.

Scores (..., N) of at most 10 bits, of one scale S and any zero point; x = q - max q. `table[d]` stands for exp(-d S):

    e = table[-x]                                       table[d] = round(exp(-d S) * (2^entry_bits - 1))
    factor = floor(2^reciprocal_bits / sum of e)
    code = min((e * factor + half) >> (reciprocal_bits - bits), 2^bits - 1),  half = 2^(reciprocal_bits - bits - 1)

so the last rounding is half up. Codes are unsigned and mean code * 2^-bits. The entries travel with the graph: no
machine's exp is asked again.

Source: common practice; the widths are ours. An entry is as many bits wider than the output as the row's length has, or
as wide as the row's sum leaves, and the reciprocal keeps two bits more than the quotient shows: codes of up to 16 bits
are within 1.25 steps of exact ones in rows of up to 197 (measured).
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.ops._once import once
from hwsim.ops._scores import (
    SUM_BITS,
    check_widths,
    differences,
    float_softmax,
    most_fraction_bits,
    need_scores,
    need_sum,
    normalise_count,
    probabilities,
    row_bits,
    row_count,
)
from hwsim.ops._tablerows import Rows, rows_of, softmax_in_rows
from hwsim.spec import QuantSpec, TensorSpec

SCORE_BITS = 10
"""Widest scores: a table of 1024 entries."""

LARGEST_SCALE = 1000.0
"""No limit of accuracy: at such a scale all weights but the row's maximum are 0."""

SPARE_BITS = 2
"""How much wider the reciprocal is than the sum and the output together."""


@dataclass(frozen=True, slots=True)
class TableSoftmax(Op):
    """Probabilities of `bits`; the row's sum must fit a signed integer of `sum_bits`, which `infer` proves."""

    table: tuple[int, ...]
    bits: int = 16
    reciprocal_bits: int = 49
    sum_bits: int = SUM_BITS

    stands_for = "softmax"
    source = "table of exp, integer reciprocal; widths of our own"

    def __post_init__(self) -> None:
        check_widths("tablesoftmax", self.bits, self.reciprocal_bits, self.sum_bits)
        falls = all(a >= b for a, b in zip(self.table, self.table[1:], strict=False))
        if not (self.table and self.table[0] > 0 and self.table[-1] >= 0 and falls):
            raise ValueError(
                f"tablesoftmax: entries must fall from above 0 to no less than 0, got {self.table}; lower again"
            )

    @classmethod
    def lower(cls, scores: TensorSpec, bits: int = 16) -> Self:
        """The operator for these scores."""
        scale, length = _need_few_bits(scores), scores.shape[-1]
        entry_bits = min(bits + (length - 1).bit_length(), most_fraction_bits(length, 1))
        entries = np.rint(np.exp(np.arange(1 << scores.bits) * -scale) * ((1 << entry_bits) - 1))
        table = tuple(int(entry) for entry in entries)
        op = cls(table, bits, row_bits(length, table[0]) - 1 + bits + SPARE_BITS)
        op.infer((scores,))
        return op

    @staticmethod
    def fitted_scale(scale: float) -> float:
        """Any scale fits a table."""
        return scale

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of the scores; unsigned codes of `bits`, a full range of probabilities."""
        (scores,) = inputs
        _need_few_bits(scores)
        rule = f"the table of {scores.bits}-bit scores has {1 << scores.bits} entries"
        need(len(self.table) == 1 << scores.bits, rule, len(self.table), "lower again")
        need_sum(scores.shape[-1], self.table[0], self.sum_bits)
        return TensorSpec(scores.shape, QuantSpec(self.bits, False, (2.0**-self.bits,)), scores.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S12d."""
        (scores,) = values
        codes = softmax_in_rows(self, scores, inputs[0])
        if codes is not None:
            return codes
        weights = np.array(self.table, dtype=np.int64)[-differences(scores)]
        shift = self.reciprocal_bits - self.bits
        return probabilities(weights, 1 << self.reciprocal_bits, shift, 1 << (shift - 1), out).reshape(scores.shape)

    def rows(self, scores: TensorSpec) -> Rows | None:
        """The constants of its row kernel."""
        return _rows(self, scores)

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """Per element: maximum, subtraction, look-up, sum, product, rounding add and shift; per row a division."""
        (scores,) = inputs
        largest, product = self.table[0], self.reciprocal_bits
        counted = row_count(scores, largest) + normalise_count(scores, largest, product)
        counted[Action("lookup", scores.bits, largest.bit_length())] += scores.elements
        counted[Action("add", product, product)] += scores.elements
        return counted

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S6."""
        return float_softmax(x)


def _need_few_bits(scores: TensorSpec) -> float:
    scale = need_scores(scores, "tablesoftmax", LARGEST_SCALE)
    few = scores.bits <= SCORE_BITS
    need(few, f"a table has scores of at most {SCORE_BITS} bits", scores.bits, f"give score_bits {SCORE_BITS} or fewer")
    return scale


@once
def _rows(op: TableSoftmax, scores: TensorSpec) -> Rows | None:
    weights, shift = np.array(op.table, np.int64), op.reciprocal_bits - op.bits
    return rows_of(weights, 1 << op.reciprocal_bits, shift, 1 << (shift - 1), op.bits, scores.shape[-1])
