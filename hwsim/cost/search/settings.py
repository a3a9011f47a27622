"""Every setting of one rule, priced: what all its products cost on both sides, without elementwise work and rounding.

A total is linear: total = products(setting) + sum over kinds of weight x elements of that kind. So each setting is priced
once, by the convention's own `amounts`, and each kind of elementwise work once; all the rest of the grid is addition.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hwsim.cost.condense import condensed
from hwsim.cost.convention import Convention
from hwsim.cost.elementwise import KINDS
from hwsim.cost.operations import Operations
from hwsim.cost.rounding import EXACT, Rounding
from hwsim.cost.search.grid import MODEL, OWN, Grid
from hwsim.cost.work import Rows, with_bits
from hwsim.errors import HwsimError
from hwsim.spec import FLOAT_BITS

Option = tuple[str, Any]
Rule = TypeVar("Rule", bound=Convention)


@dataclass(frozen=True, slots=True)
class Sides:
    """Rows of one model: all floats, and at the `bits` of its weights and activations."""

    floats: Rows
    quantized: Rows
    bits: tuple[int, int]

    @classmethod
    def of(cls, rows: Rows, bits: tuple[int, int], ends: int) -> "Sides":
        """Both sides of quantized `rows`, with the ends of the network at `ends` bits."""
        return cls(with_bits(rows, FLOAT_BITS, FLOAT_BITS), with_bits(rows, *bits, ends), bits)

    def condensed(self) -> "Sides":
        """The same in fewer rows, for rules that cost in proportion to equal layers."""
        return Sides(condensed(self.floats), condensed(self.quantized), self.bits)


@dataclass(frozen=True, slots=True)
class Setting:
    """A convention for each side, equal but for the attention products that count there; `changes` are what differs from
    the rule's defaults; `products` are the totals of floats and quantized."""

    floats: Convention
    quantized: Convention
    changes: tuple[Option, ...]
    products: tuple[float, float]
    one_sided: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """A rule on one model. `elements` are of the kinds in `weights` (its default ones), on each side; `present` says which
    kinds the float model has at all. `undefined` settings are those at whose widths the rule is not defined."""

    rule: Convention
    settings: tuple[Setting, ...]
    weights: dict[str, float]
    elements: tuple[tuple[float, ...], tuple[float, ...]]
    present: tuple[bool, ...]
    undefined: int


def price(rule: Convention, sides: Sides, grid: Grid) -> Priced:
    """All settings of `rule` that differ in what they count, the ones of the fewest changes; those of other cost nothing."""
    bare = without_elementwise(rule)
    found: dict[tuple[object, ...], Setting] = {}
    undefined = 0
    for changes in sorted(_changes(rule, sides.bits, grid), key=len):
        try:
            setting, groups = _setting(bare, changes, sides)
        except HwsimError:
            undefined += 1
        else:
            found.setdefault((*setting.products, groups), setting)
    if not found:
        return Priced(rule, (), {}, ((), ()), (), undefined)
    settings = tuple(found.values())
    weights = {kind: getattr(rule.elementwise, kind) for kind in KINDS} if isinstance(rule, Operations) else {}
    on_floats = tuple(_elements(settings[0].floats, kind, sides.floats) for kind in weights)
    on_quantized = tuple(_elements(settings[0].quantized, kind, sides.quantized) for kind in weights)
    present = tuple(any(row.role == kind for row in sides.floats) for kind in weights)
    return Priced(rule, settings, weights, (on_floats, on_quantized), present, undefined)


def choices(rule: Convention, bits: tuple[int, int], grid: Grid) -> list[list[Option]]:
    """The values of each option that the rule has, its default first; `bits` are those of the model."""
    found = []
    for option, values in grid.options.items():
        if hasattr(rule, option):
            default = getattr(rule, option)
            known = dict.fromkeys((default, *(width for value in values for width in _values(value, bits))))
            found.append([(option, value) for value in known])
    if isinstance(rule, Operations):
        default = "both" if rule.attention_matmuls else "none"
        found.append([("attention_on", side) for side in dict.fromkeys((default, *grid.attention_on))])
    return found


def _changes(rule: Convention, bits: tuple[int, int], grid: Grid) -> Iterator[tuple[Option, ...]]:
    """Every combination of options, as what it changes of the rule's defaults."""
    options = choices(rule, bits, grid)
    for chosen in itertools.product(*options):
        yield tuple(option for option, first in zip(chosen, options, strict=True) if option != first[0])


def _values(value: Any, bits: tuple[int, int]) -> tuple[Any, ...]:
    return (None,) if value == OWN else bits if value == MODEL else (value,)


def _setting(bare: Convention, changes: tuple[Option, ...], sides: Sides) -> tuple[Setting, tuple[frozenset[str], ...]]:
    """The setting, and the groups of products that count on each side; raises HwsimError where it is not defined."""
    floats, quantized = both_sides(bare, changes)
    (float_total, on_floats), (total, on_quantized) = counted(floats, sides.floats), counted(quantized, sides.quantized)
    one_sided = on_floats != on_quantized
    return Setting(floats, quantized, changes, (float_total, total), one_sided), (on_floats, on_quantized)


def both_sides(rule: Convention, changes: tuple[Option, ...]) -> tuple[Convention, Convention]:
    """The rule with these changes as it prices floats, and as it prices a quantized model."""
    options = dict(changes)
    attention = options.pop("attention_on", None)
    rule = dataclasses.replace(rule, **options)
    if attention is None or not isinstance(rule, Operations):
        return rule, rule
    return (
        dataclasses.replace(rule, attention_matmuls=attention in ("both", "float")),
        dataclasses.replace(rule, attention_matmuls=attention in ("both", "quantized")),
    )


def counted(convention: Convention, rows: Rows) -> tuple[float, frozenset[str]]:
    """The total, and the groups that add to it."""
    amounts = convention.amounts(rows)
    return sum(amounts), frozenset(row.group for row, amount in zip(rows, amounts, strict=True) if amount)


def _elements(bare: Convention, kind: str, rows: Rows) -> float:
    """What one operation per element of this kind adds."""
    one = with_elementwise(bare, {kind: 1})
    return sum(more - less for more, less in zip(one.amounts(rows), bare.amounts(rows), strict=True))


def without_elementwise(rule: Convention) -> Convention:
    """The rule un-rounded, and with elementwise work for nothing."""
    return with_elementwise(rule, dict.fromkeys(KINDS, 0))


def with_elementwise(rule: Rule, weights: Mapping[str, float], rounding: Rounding = EXACT) -> Rule:
    """The rule with these elementwise weights, if it has any, and a rounding."""
    changes: dict[str, Any] = {"rounding": rounding}
    if isinstance(rule, Operations):
        parts: dict[str, Any] = dict(weights)
        changes["elementwise"] = dataclasses.replace(rule.elementwise, **parts)
    return dataclasses.replace(rule, **changes)
