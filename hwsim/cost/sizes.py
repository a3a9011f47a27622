"""Conventions that count stored bytes: total = sum of (width x weights + rest_bits x rest) / 8.

Weights are the constant operands of products; the rest are biases, norms, tokens and positions. Scales and zero points
are left out, as published sizes leave them out.
"""

import math
from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.work import Rows, Work, full_precision
from hwsim.errors import HwsimError
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes(Convention):
    """Base of the rules of sizes. A float model is at 32 bits throughout; in a quantized one

    `weights_bits` is the width of the weights between the ends (None: each at its own), `ends_bits` that of
    the ends' weights (None: their own), `rest_bits` that of the rest, and `count_rest` is whether the rest counts at all.
    """

    ends_bits: int | None = None
    weights_bits: int | None = None
    rest_bits: int = FLOAT_BITS
    count_rest: bool = True

    unit = "byte"

    def __post_init__(self) -> None:
        Convention.__post_init__(self)
        self._check_bits("ends_bits", self.ends_bits)
        self._check_bits("weights_bits", self.weights_bits)
        if self.rest_bits is None:
            raise HwsimError(
                f"{self.subject}: rest_bits must be 1..8 or 32, got None; count_rest says whether they count"
            )
        self._check_bits("rest_bits", self.rest_bits)
        if type(self.count_rest) is not bool:
            raise HwsimError(
                f"{self.subject}: count_rest must be true or false, got {self.count_rest!r}; false counts weights alone"
            )

    def stored(self, weights: int, parameters: int, weights_bits: int, rest_bits: int) -> float:
        """The bytes of so many weights and other parameters at these widths."""
        return (weights_bits * weights + rest_bits * parameters) / 8

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Bytes of each row's weights and parameters."""
        floats = full_precision(rows)
        rest = FLOAT_BITS if floats else self.rest_bits
        amounts: list[float] = []
        for row in rows:
            width, parameters = self._width(row, floats), row.parameters if self.count_rest else 0
            try:
                amount = self.stored(row.weights, parameters, width, rest)
            except (ArithmeticError, ValueError) as error:
                raise self._impossible(row, error) from None
            if not 0 <= amount < math.inf:
                raise self._impossible(row, amount)
            amounts.append(amount)
        return tuple(amounts)

    def _width(self, row: Work, floats: bool) -> int:
        """The width at which the weights of `row` count."""
        if row.gemm is None or floats:
            return FLOAT_BITS
        chosen = self.ends_bits if row.group in self.ends else self.weights_bits
        bits = row.gemm.b_bits if chosen is None else chosen
        if row.weights and self.bits and bits not in self.bits:
            raise self._undefined(row, bits)
        return bits
