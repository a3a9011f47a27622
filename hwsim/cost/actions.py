"""Arithmetic in primitive actions: how often each kind runs at each pair of operand widths, part by part of a model.

A part is a group of products (`qkv`, `fc1`, see `groups`), or for all other work its role: `layernorm`, `softmax`, `gelu`,
`residual`, `bias`, `qk_norm`, `quantize`, `requantize`, `dequantize`, `roll` ... Integer operators that stand for a float
one are listed under its name. Every operator says what it does (`Op.count`); one that does not is refused by `work`, and
only views (reshape, transpose, slice) do nothing.
"""

from collections import Counter
from dataclasses import dataclass

from hwsim.cost.groups import GROUPS
from hwsim.cost.work import Rows

_ORDER = {group: place for place, group in enumerate(GROUPS)}


@dataclass(frozen=True, slots=True)
class Counted:
    """`part` does `count` actions of this `kind` on operands of `a_bits` and `b_bits`, for one image."""

    part: str
    kind: str
    a_bits: int
    b_bits: int
    count: int


def actions(rows: Rows) -> tuple[Counted, ...]:
    """All actions of the rows: products in network order, then the rest in the order in which it first runs."""
    counts: dict[tuple[int, str], Counter[tuple[str, int, int]]] = {}
    for row in rows:
        part = (_ORDER[row.group], row.group if row.group != "elementwise" else row.role)
        for action, count in row.actions.items():
            counts.setdefault(part, Counter())[action.kind, action.a_bits, action.b_bits] += count
    parts = sorted(counts, key=lambda part: part[0])
    return tuple(Counted(part[1], *of, counts[part][of]) for part in parts for of in sorted(counts[part]))
