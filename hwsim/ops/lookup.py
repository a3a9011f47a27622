"""Lookup (S13a): GELU as a table, one output code for each of the 2^bits input codes.

    code = table[q - qmin]

The table holds what the float path would give for every code there is: S1, the exact GELU (S7), S2 on the output's grid.
At most 10 bits of input, 1024 entries; no rounding happens at run time.

Source: general practice; what FQ-ViT's authors advise in place of their float GELU (FQ-ViT repository, issues 2 and 46).
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.op import Action, Array, Op, Specs, need
from hwsim.ops._codes import from_table, need_codes, need_one_scale
from hwsim.ops._once import once
from hwsim.ops.gelu import Gelu
from hwsim.ops.quantize import Quantize
from hwsim.spec import QuantSpec, TensorSpec

TABLE_BITS = 10
"""Widest input."""


@dataclass(frozen=True, slots=True)
class Lookup(Op):
    """Input x of any shape and one scale; codes of `spec`."""

    table: tuple[int, ...]
    spec: QuantSpec

    stands_for = "gelu"
    source = "table of the exact GELU, quantized (S13a)"

    def __post_init__(self) -> None:
        low, high = self.spec.qmin, self.spec.qmax
        for index, code in enumerate(self.table):
            if not low <= code <= high:
                raise ValueError(f"lookup: entries must be in {low}..{high}, got {code} at {index}")

    @classmethod
    def lower(cls, x: TensorSpec, out: QuantSpec, bits: int = 8) -> Self:
        """The table for codes of `x` and the grid `out`, whose width counts (not `bits`)."""
        quant = _table_grid(x)
        need_one_scale(out, "a table")
        codes = quant.codebook()
        spec = TensorSpec(codes.shape, None, batched=False)
        real = Gelu().run((quant.to_real(codes),), (spec,), spec)
        return cls(tuple(Quantize(out).run((real,), (spec,), spec).tolist()), out)

    def infer(self, inputs: Specs) -> TensorSpec:
        """The shape of x with the meaning of `spec`."""
        (x,) = inputs
        entries = 1 << _table_grid(x).bits
        need(len(self.table) == entries, f"{entries} entries are needed", len(self.table), "make the table again")
        need_one_scale(self.spec, "a table")
        return TensorSpec(x.shape, self.spec, x.batched)

    def run(self, values: tuple[Array, ...], inputs: Specs, out: TensorSpec) -> Array:
        """S13a."""
        (q,) = values
        assert inputs[0].quant is not None
        return from_table(q, inputs[0].quant.qmin, _entries(self))

    def count(self, inputs: Specs, out: TensorSpec) -> Counter[Action]:
        """One access per element."""
        return Counter({Action("lookup", inputs[0].bits, out.bits): out.elements})

    def reference(self, x: Array, inputs: Specs, out: TensorSpec) -> Array:
        """S7 in float64."""
        return Gelu().run((x,), inputs, out)


@once
def _entries(op: Lookup) -> Array:
    return np.array(op.table, dtype=op.spec.container)


def _table_grid(x: TensorSpec) -> QuantSpec:
    quant = need_codes(x, "a table")
    remedy = f"give gelu_bits {TABLE_BITS} or fewer, or choose igelu"
    need(quant.bits <= TABLE_BITS, f"a table takes codes of at most {TABLE_BITS} bits", x, remedy)
    return quant
