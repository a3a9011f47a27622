"""Conventions that count operations: total = sum over products of flops_per_mac x product(widths) + elementwise work."""

import math
from abc import abstractmethod
from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.elementwise import NONE, Elementwise
from hwsim.cost.groups import ATTENTION
from hwsim.cost.work import Rows, full_precision
from hwsim.errors import HwsimError
from hwsim.op import Gemm


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations(Convention):
    """Base of the rules of operations; each says in `product` what a product costs.

    `ends_bits` is the width at which the ends count in a quantized model: 1..8, 32 for floats, None for their own.
    `omit` are groups whose products do not count; `attention_matmuls` is whether QK^T and AV do, and `attention_bits` is
    their width in a quantized model (None: their own). `elementwise` work is added at full cost. `flops_per_mac` is 1 or
    2, a factor on all products.
    """

    ends_bits: int | None = None
    omit: tuple[str, ...] = ()
    attention_matmuls: bool = True
    attention_bits: int | None = None
    elementwise: Elementwise = NONE
    flops_per_mac: int = 1

    def __post_init__(self) -> None:
        Convention.__post_init__(self)
        self._check_groups("omit", self.omit)
        self._check_bits("ends_bits", self.ends_bits)
        if type(self.attention_matmuls) is not bool:
            raise HwsimError(
                f"{self.subject}: attention_matmuls must be true or false, got {self.attention_matmuls!r}; "
                "false leaves QK^T and AV out"
            )
        self._check_bits("attention_bits", self.attention_bits)
        if not isinstance(self.elementwise, Elementwise):
            raise HwsimError(
                f"{self.subject}: elementwise must be an Elementwise, got {self.elementwise!r}; NONE counts nothing"
            )
        if type(self.flops_per_mac) is not int or self.flops_per_mac not in (1, 2):
            raise HwsimError(
                f"{self.subject}: flops_per_mac must be 1 or 2, got {self.flops_per_mac!r}; papers differ between these two"
            )

    @abstractmethod
    def product(self, gemm: Gemm) -> float:
        """What one product costs at the widths of `gemm`, in `unit` but for flops_per_mac; in proportion to its batch."""

    def amounts(self, rows: Rows) -> tuple[float, ...]:
        """Products at the widths that the options give them, and weighed elements of the rest."""
        widths = {} if full_precision(rows) else self._widths()
        left_out = self.omit if self.attention_matmuls else (*self.omit, *ATTENTION)
        elementwise = self.elementwise.rule(rows)
        bits, factor = self.bits, self.flops_per_mac
        amounts: list[float] = []
        for row in rows:
            gemm = row.gemm
            if gemm is None:
                amounts.append(elementwise(row))
                continue
            if row.group in left_out:
                amounts.append(0)
                continue
            width = widths.get(row.group)
            if width is not None:
                gemm = Gemm(gemm.batch, gemm.m, gemm.k, gemm.n, width, width, gemm.b_static)
            if bits and not (gemm.a_bits in bits and gemm.b_bits in bits):
                raise self._undefined(row, gemm.a_bits, gemm.b_bits)
            try:
                amount = factor * self.product(gemm)
            except (ArithmeticError, ValueError) as error:
                raise self._impossible(row, error) from None
            if not 0 <= amount < math.inf:
                raise self._impossible(row, amount)
            amounts.append(amount)
        return tuple(amounts)

    def _widths(self) -> dict[str, int]:
        """The widths that options give to groups of a quantized model; as ends, where a group is both."""
        ends = {} if self.ends_bits is None else dict.fromkeys(self.ends, self.ends_bits)
        return ends if self.attention_bits is None else {**dict.fromkeys(ATTENTION, self.attention_bits), **ends}
