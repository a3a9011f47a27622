"""A reading: one way to come to a published figure, and what makes it more or less plausible.

Readings that count the same work on both sides of the ratio come before all that do not. Then they are ordered by points,
the fewer the better: 1 for each default of the rule that is changed (each elementwise weight is one); 1 for rounded
entries, 2 for truncated ones; 1 for a fitted rule, 2 for an inferred one, none for a rule printed by its authors or
written by the user; 1 for another model than the figure names. Of equals, what more weightings of elementwise work give
comes first, for it takes less tuning.
"""

from dataclasses import dataclass
from typing import Any

from hwsim.cost.convention import Convention
from hwsim.cost.groups import ENDS
from hwsim.cost.rounding import Rounding
from hwsim.cost.search.settings import Option
from hwsim.spec import FLOAT_BITS

_ROUNDED = {"none": 0, "round": 1, "truncate": 2}
_STATED = {"printed": 0, "user": 0, "fitted": 1, "inferred": 2}
_WIDE = {
    "ends_bits": "ends",
    "attention_bits": "attention products",
    "weights_bits": "inner weights",
    "rest_bits": "biases and norms",
}
_WHETHER = {
    ("count_rest", True): "biases and norms too",
    ("count_rest", False): "weights alone",
    ("whole_millions", True): "parameters in whole millions",
}
_FAMILY = ("attention_on", "attention_bits", "elementwise_on")
_SIDES = {
    "both": "on both sides",
    "quantized": "on the quantized side alone",
    "float": "on the float side alone",
    "none": "not counted",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A setting of a rule, with all the elementwise weights by which it gives the figure, `weightings` of them.

    `floats` and `quantized` are the conventions of the two sides with the weights that change the fewest of the rule's
    defaults. `changes` and `weighted` are what differs from them, elementwise weights in the latter. `products` are what
    the products cost on both sides, `totals` with elementwise work; `work` is the least and the most such work on the
    quantized side. `entries` are what tables print of both, `value` is the figure. `floats_weighed` says that elementwise
    work counts in the float model. `also` are rules that count the same here, `known` a name that the reading has.
    """

    model: str
    named: bool
    rule: Convention
    floats: Convention
    quantized: Convention
    changes: tuple[Option, ...]
    weighted: tuple[Option, ...]
    one_sided: bool
    weightings: int
    work: tuple[float, float]
    floats_weighed: bool
    products: tuple[float, float]
    totals: tuple[float, float]
    entries: tuple[float, float]
    value: float
    also: tuple[str, ...] = ()
    known: str = ""

    @property
    def rounding(self) -> Rounding:
        """How the entries are rounded."""
        return self.quantized.rounding

    @property
    def points(self) -> int:
        """The fewer, the more plausible."""
        departures = len(self.changes) + len(self.weighted) + (not self.named)
        return departures + _ROUNDED[self.rounding.how] + _STATED[self.rule.status]

    @property
    def rank(self) -> tuple[Any, ...]:
        """Less is more plausible."""
        return self.one_sided, self.points, -self.weightings, self.rounding.decimals

    @property
    def counted(self) -> tuple[object, ...]:
        """Equal for readings that count the same, whatever the rule and the rounding."""
        return self.model, self.products, self.floats_weighed, self.one_sided

    @property
    def family(self) -> tuple[object, ...]:
        """Equal for readings of one kind: by one rule on one model, of the same rounded entries, with attention products and
        elementwise work on the same sides; the ends and FLOPs per MAC may differ."""
        entries = self.entries if self.rounding.how != "none" else ()
        kind = tuple(option for option in self.changes if option[0] in _FAMILY)
        return self.model, self.rule.name, self.one_sided, self.rounding, entries, kind

    def __str__(self) -> str:
        """What is changed of which rule: `bireal_ladder, attention products not counted`."""
        return ", ".join((self.rule.name, *(words(option, value) for option, value in self.changes)))


def rounding_words(rounding: Rounding) -> str:
    """`un-rounded`, `rounded to 1 decimal of G`."""
    if rounding.how == "none":
        return "un-rounded"
    how = "rounded" if rounding.how == "round" else "truncated"
    return f"{how} to {rounding.decimals} decimal{'s' * (rounding.decimals != 1)} of {rounding.prefix or '1'}"


def words(option: str, value: Any) -> str:
    """A changed option in words: `ends at 8 bits`."""
    if option == "attention_on":
        return f"attention products {_SIDES[value]}"
    if option == "elementwise_on":
        return f"elementwise work {_SIDES[value]}"
    if option == "ends":
        return "ends: " + ("patch_embed and head" if value == ENDS else f"{', '.join(value)} alone")
    if option.endswith("_bits"):
        width = {None: "at their own bits", FLOAT_BITS: "as floats"}.get(value, f"at {value} bits")
        return f"{_WIDE.get(option, option)} {width}"
    if option == "flops_per_mac":
        return f"{value} FLOP{'s' * (value != 1)} per MAC"
    if option == "omit":
        return "omitting " + (", ".join(value) or "nothing")
    return _WHETHER.get((option, value), f"{option} = {str(value).lower()}")
