"""The search: every rule that can give the figure, on every form of the model, over the whole grid; and what it finds."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hwsim.cost.convention import Convention
from hwsim.cost.custom import Written
from hwsim.cost.rounding import Rounding
from hwsim.cost.search.evaluate import columns
from hwsim.cost.search.figure import PREFIXES, Figure
from hwsim.cost.search.grid import Grid
from hwsim.cost.search.one_rule import Counts, OneRule
from hwsim.cost.search.reading import Reading
from hwsim.cost.search.rules import NAMED
from hwsim.cost.search.settings import Sides, price, without_elementwise
from hwsim.cost.work import Rows
from hwsim.errors import HwsimError
from hwsim.spec import FLOAT_BITS


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for `figure` came to.

    `readings` are those that give it, the most plausible first; `nearest` is the self-consistent un-rounded one that comes
    nearest. `searched` and `consistent` count conventions: all, and those that are self-consistent and un-rounded; `hits`
    and `consistent_hits` are how many of them give it. `skipped` are settings that a rule does not define, by its name.
    """

    figure: Figure
    readings: tuple[Reading, ...]
    nearest: Reading | None
    searched: int
    consistent: int
    hits: int
    consistent_hits: int
    skipped: Mapping[str, int]

    @property
    def families(self) -> tuple[tuple[Reading, ...], ...]:
        """The readings by their kind, the most plausible first; a reading with a name of its own begins a family."""
        found: dict[object, list[Reading]] = {}
        for reading in self.readings:
            found.setdefault((reading.family, reading.known), []).append(reading)
        return tuple(tuple(family) for family in found.values())


def search(
    figure: Figure,
    models: Mapping[str, Rows],
    rules: Iterable[Convention],
    bits: tuple[int, int],
    ends: int = 8,
    grid: Grid | None = None,
    known: Mapping[str, Convention] = NAMED,
) -> Found:
    """All readings of `figure` for quantized rows of each of `models` (the first is the one that the figure names) at these
    bits, by those of the `rules` that have its unit; readings that a `known` convention has too get its name.

    Raises HwsimError where a speedup is asked of a float model, no rule is left, or one has a formula without a value.
    """
    check_bits(figure, bits)
    able = [rule for rule in rules if figure.counted_in(rule.unit)]
    if not able:
        raise HwsimError(f"{figure.kind}: a convention must count {figure.units}, got none that does; name another")
    grid = grid or Grid()
    if not figure.is_ratio:  # a single entry has but one side
        grid = dataclasses.replace(grid, attention_on=("both", "none"), elementwise_on=("both",))
    counts, skipped = Counts(), dict[str, int]()
    readings: list[Reading] = []
    for model, rows in models.items():
        sides = Sides.of(rows, bits, ends)
        short = sides.condensed()
        names = {name: rule for name, rule in known.items() if _gives(rule, short, figure)}
        for rule in able:
            priced = price(rule, sides if isinstance(rule, Written) else short, grid)
            skipped[rule.name] = priced.undefined
            if not priced.settings and not rule.bits:
                rule.amounts(sides.quantized)  # raises what is wrong with it at widths that it says it has
            if priced.settings:
                one = OneRule(model, model == next(iter(models)), priced, columns(priced, grid), figure)
                readings += (_named(reading, names) for reading in one.readings(_roundings(rule, figure, grid), counts))
    nearest = min(counts.nearest, key=lambda reading: (abs(reading.value - figure.value), reading.rank), default=None)
    return Found(
        figure,
        _joined(readings, figure),
        nearest,
        counts.searched,
        counts.consistent,
        counts.hits,
        counts.consistent_hits,
        {name: count for name, count in skipped.items() if count},
    )


def check_bits(figure: Figure, bits: tuple[int, int]) -> None:
    """Raise HwsimError where a speedup is asked of a float model."""
    if figure.is_ratio and bits == (FLOAT_BITS, FLOAT_BITS):
        raise HwsimError("speedup: the model must be quantized, got W32A32; give --wbits and --abits")


def check_rule(figure: Figure, rule: Convention) -> None:
    """Raise HwsimError where `rule` does not count what the figure is of."""
    if not figure.counted_in(rule.unit):
        raise HwsimError(
            f"{figure.kind}: a convention must count {figure.units}, got {rule.unit} of {rule.name}; mend its unit, or "
            "leave it out"
        )


def _roundings(rule: Convention, figure: Figure, grid: Grid) -> tuple[Rounding, ...]:
    """How entries may be rounded: one that stands alone as precisely as the figure, in each unit that tables use."""
    if figure.is_ratio:
        return tuple(dict.fromkeys((*grid.rounding, rule.rounding)))
    return tuple(Rounding(how, figure.decimals, p) for how in ("none", "truncate") for p in PREFIXES[figure.kind])


def _gives(rule: Convention, sides: Sides, figure: Figure) -> bool:
    """Whether the convention as it stands gives the figure; no, where it is not defined."""
    try:
        floats, quantized = (rule.entry(sum(rule.amounts(rows))) for rows in (sides.floats, sides.quantized))
    except HwsimError:
        return False
    return figure.is_ratio and quantized > 0 and bool(figure.holds(floats / quantized))


def _named(reading: Reading, names: Mapping[str, Convention]) -> Reading:
    """The reading with the name of the first convention that it is, elementwise weights apart."""
    bare = [without_elementwise(side) for side in (reading.floats, reading.quantized)]
    same = (n for n, r in names.items() if r.rounding == reading.rounding and bare == [without_elementwise(r)] * 2)
    return dataclasses.replace(reading, known=next(same, ""))


def _joined(readings: Iterable[Reading], figure: Figure) -> tuple[Reading, ...]:
    """The readings in the order of their plausibility; of those that count the same by several rules, the first. A single
    entry that is the figure when rounded is no second reading when truncated."""
    first: dict[object, Reading] = {}
    for reading in sorted(readings, key=lambda reading: reading.rank):
        rounding = reading.rounding if figure.is_ratio else reading.rounding.prefix
        best = first.setdefault((reading.counted, rounding), reading)
        if best is not reading and best.rounding == reading.rounding:
            also = dict.fromkeys((*best.also, reading.rule.name))
            also.pop(best.rule.name, None)
            known = best.known or reading.known
            first[reading.counted, rounding] = dataclasses.replace(best, also=tuple(also), known=known)
    return tuple(first.values())
