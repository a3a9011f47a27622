"""The readings of one rule on one model: where the grid's figures meet the published one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwsim.cost.convention import Convention
from hwsim.cost.rounding import Rounding
from hwsim.cost.search.evaluate import Columns, Flags, Values, values
from hwsim.cost.search.figure import Figure
from hwsim.cost.search.reading import Reading
from hwsim.cost.search.settings import Option, Priced, with_elementwise


@dataclass(slots=True)
class Counts:
    """What was searched so far: conventions in all, and those that are self-consistent and un-rounded (`consistent`), how
    many of each give the figure, and of every rule the self-consistent un-rounded one that comes nearest."""

    searched: int = 0
    hits: int = 0
    consistent: int = 0
    consistent_hits: int = 0
    nearest: list[Reading] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class OneRule:
    """One rule on one model, with all its settings and weightings; `named` says that the figure is of this model."""

    model: str
    named: bool
    priced: Priced
    columns: Columns
    figure: Figure

    def readings(self, roundings: Iterable[Rounding], counts: Counts) -> Iterator[Reading]:
        """The readings that there are here; adds to `counts` what was searched for them."""
        one_sided = self.one_sided()
        for found in values(self.priced, self.columns, tuple(roundings), self.figure):
            hit = self.figure.holds(found.figure)
            counts.searched += hit.size
            counts.hits += int(hit.sum())
            if found.rounding.how == "none":
                counts.consistent += int((~one_sided).sum())
                counts.consistent_hits += int((hit & ~one_sided).sum())
                counts.nearest += self._nearest(found, one_sided)
            yield from self._hits(found, hit, one_sided)

    def one_sided(self) -> Flags:
        """Which of (S, C) count some work on one side alone; a single entry has no other side."""
        settings = np.array([setting.one_sided for setting in self.priced.settings], dtype=bool)
        return (settings[:, None] | self.columns.one_sided) & self.figure.is_ratio

    def conventions(self, setting: int, column: int, rounding: Rounding) -> tuple[Convention, Convention]:
        """The conventions of both sides, floats and quantized, that the grid evaluates there."""
        chosen, weights = self.priced.settings[setting], self._weights(column)
        floats = dict.fromkeys(weights, 0.0) if self.columns.alone[column] else weights
        return with_elementwise(chosen.floats, floats, rounding), with_elementwise(chosen.quantized, weights, rounding)

    def _weights(self, column: int) -> dict[str, float]:
        return dict(zip(self.priced.weights, self.columns.weights[column].tolist(), strict=True))

    def _nearest(self, found: Values, one_sided: Flags) -> Iterator[Reading]:
        distance = np.where(one_sided | np.isnan(found.figure), np.inf, abs(found.figure - self.figure.value))
        setting, column = np.unravel_index(int(distance.argmin()), distance.shape)
        if np.isfinite(distance[setting, column]):
            yield self._reading(found, int(setting), np.array([column]), one_sided)

    def _hits(self, found: Values, hit: Flags, one_sided: Flags) -> Iterator[Reading]:
        """One reading for all hits of a setting that count elementwise work on the same sides."""
        for setting in np.flatnonzero(hit.any(axis=1)):
            ways = self.columns.alone * 2 + one_sided[setting]
            for way in np.unique(ways[hit[setting]]):
                yield self._reading(found, int(setting), np.flatnonzero(hit[setting] & (ways == way)), one_sided)

    def _reading(self, found: Values, setting: int, of: npt.NDArray[np.intp], one_sided: Flags) -> Reading:
        """The reading of a setting with the columns `of`, told by the one that changes the fewest defaults."""
        columns, rule = self.columns, self.priced.rule
        column = int(of[columns.changes[of].argmin()])
        chosen, weights = self.priced.settings[setting], self._weights(column)
        alone: tuple[Option, ...] = (("elementwise_on", "quantized"),) if columns.alone[column] else ()
        floats, quantized = self.conventions(setting, column, found.rounding)
        return Reading(
            self.model,
            self.named,
            rule,
            floats,
            quantized,
            (*chosen.changes, *alone),
            tuple((kind, weight) for kind, weight in weights.items() if weight != self.priced.weights[kind]),
            bool(one_sided[setting, column]),
            len(of),
            (float(columns.quantized[of].min()), float(columns.quantized[of].max())),
            bool((columns.floats[of] > 0).any()),
            chosen.products,
            (chosen.products[0] + float(columns.floats[column]), chosen.products[1] + float(columns.quantized[column])),
            (float(found.entries[0][setting, column]), float(found.entries[1][setting, column])),
            float(found.figure[setting, column]),
        )
