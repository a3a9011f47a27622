"""How much a speedup depends on its convention: from one base, each option alone runs over the values of a grid.

One record `speedup_sensitivity` per option (its node) and value (the tag `setting`), and one of the base, at the node "".
The tag `sides` is `differ` where one side of the ratio counts work that the other leaves out. Left out are settings that a
rule does not define, and rules to which widths make no difference.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from hwsim.cost.convention import Convention
from hwsim.cost.conventions.bireal_ladder import BirealLadder
from hwsim.cost.custom import Written
from hwsim.cost.operations import Operations
from hwsim.cost.options import WEIGHTS
from hwsim.cost.search.grid import Grid
from hwsim.cost.search.reading import rounding_words, words
from hwsim.cost.search.rules import shipped
from hwsim.cost.search.settings import Sides, both_sides, choices, counted, with_elementwise
from hwsim.cost.work import Rows
from hwsim.errors import HwsimError
from hwsim.op import Gemm
from hwsim.record import Record
from hwsim.spec import FLOAT_BITS

_Pair = tuple[Convention, Convention]
_Variant = tuple[str, str, _Pair]
"""An option, its setting in words, and the conventions of both sides."""


def sensitivity(
    models: Mapping[str, Rows],
    labels: Mapping[str, str],
    bits: tuple[int, int],
    ends: int = 8,
    base: Operations | None = None,
    grid: Grid | None = None,
    claimed: str = "",
) -> list[Record]:
    """The records of the first of `models` at these bits, the others being forms of it; `labels` are what papers call them,
    `claimed` is the figure to compare with, if any. The base is the documented rule, `bireal_ladder`, unless given."""
    base, grid = base or BirealLadder(), grid or Grid()
    sides = {model: Sides.of(rows, bits, ends) for model, rows in models.items()}
    if not isinstance(base, Written):
        sides = {model: pair.condensed() for model, pair in sides.items()}
    model = next(iter(models))
    about = {"wbits": str(bits[0]), "abits": str(bits[1]), "label": labels[model], "base": base.name}
    about |= {"printed": claimed} if claimed else {}
    variants: list[tuple[str, _Variant]] = [(model, ("", base.name, (base, base)))]
    variants += ((form, ("model", labels[form], (base, base))) for form in models)
    variants += ((model, variant) for variant in _variants(base, bits, grid))
    records = []
    for form, (option, setting, pair) in variants:
        if (found := _speedup(pair, sides[form])) is not None:
            value, alike = found
            tags = {**about, "setting": setting, "sides": "same" if alike else "differ"}
            record = Record(
                model, "speedup_sensitivity", value, "x", option, source="inferred", tags=tuple(tags.items())
            )
            records.append(record)
    return records


def _variants(base: Operations, bits: tuple[int, int], grid: Grid) -> Iterator[_Variant]:
    for rule in shipped():
        if isinstance(rule, Operations) and _discounts(rule):
            yield "rule", rule.name, (rule, rule)
    for options in choices(base, bits, grid):
        for option, value in options if len(options) > 1 else ():
            yield option, words(option, value), both_sides(base, ((option, value),))
    for name, weights in WEIGHTS.items():
        weighed = dataclasses.replace(base, elementwise=weights)
        yield "elementwise", name.replace("_", " "), (weighed, weighed)
    for kind, values in grid.elementwise.items():
        for weight in dict.fromkeys((getattr(base.elementwise, kind), *values)):
            weighed = with_elementwise(base, {kind: weight}, base.rounding)
            yield f"elementwise.{kind}", f"{weight:g}", (weighed, weighed)
    for rounding in dict.fromkeys((base.rounding, *grid.rounding)):
        rounded = dataclasses.replace(base, rounding=rounding)
        yield "rounding", rounding_words(rounding), (rounded, rounded)


def _discounts(rule: Operations) -> bool:
    """Whether a MAC costs less at the narrowest width that the rule defines than at the widest."""
    widths = rule.bits or (1, FLOAT_BITS)
    narrow, wide = (rule.product(Gemm(1, 1, 1, 1, bits, bits, True)) for bits in (min(widths), max(widths)))
    return narrow < wide


def _speedup(pair: _Pair, sides: Sides) -> tuple[float, bool] | None:
    """The ratio of entries, and whether products of the same groups count in both; None where a rule is not defined, or its
    quantized entry is 0."""
    try:
        (floats, on_floats), (quantized, on_quantized) = map(_entry, pair, (sides.floats, sides.quantized))
    except HwsimError:
        return None
    return (floats / quantized, on_floats == on_quantized) if quantized else None


def _entry(rule: Convention, rows: Rows) -> tuple[float, frozenset[str]]:
    total, groups = counted(rule, rows)
    return rule.entry(total), groups - {"elementwise"}
