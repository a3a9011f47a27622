"""The grid in numbers: what every combination of a setting, elementwise weights and a rounding prints, in numpy.

    total(s, e) = products(s) + sum over kinds of weight(e, kind) x elements(kind)

on each side; entries are totals rounded as `Rounding` does, half up or towards zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.cost.rounding import PREFIXES, Rounding
from hwsim.cost.search.figure import Figure
from hwsim.cost.search.grid import Grid
from hwsim.cost.search.settings import Priced

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Ways to weigh elementwise work, C of them: `weights` (C, kinds), which of them weigh the quantized side alone
    (`alone`) and which count kinds there that they could count on the other (`one_sided`), how many defaults they change
    (`changes`), and what they add, `floats` and `quantized`."""

    weights: Floats
    alone: Flags
    one_sided: Flags
    changes: npt.NDArray[np.int64]
    floats: Floats
    quantized: Floats


def columns(priced: Priced, grid: Grid) -> Columns:
    """Every weighting of a rule; on the quantized side alone where that differs from both sides."""
    defaults = priced.weights
    weightings = grid.weightings(defaults, len(priced.settings))
    weights = np.array(weightings, dtype=float).reshape(len(weightings), len(defaults))
    on_floats, on_quantized = (np.array(of, dtype=float) for of in priced.elements)
    changes = (weights != np.array(list(defaults.values()))).sum(axis=1)
    missing = np.array(priced.present, dtype=bool) & (on_floats == 0) & (on_quantized > 0)
    both = Columns(
        weights,
        np.zeros(len(weights), dtype=bool),
        np.asarray((weights[:, missing] > 0).any(axis=1)),
        changes,
        weights @ on_floats,
        weights @ on_quantized,
    )
    chosen = both.floats > 0 if "quantized" in grid.elementwise_on else np.zeros(len(weights), dtype=bool)
    alone = chosen.sum()
    return Columns(
        np.concatenate([weights, weights[chosen]]),
        np.concatenate([both.alone, np.ones(alone, dtype=bool)]),
        np.concatenate([both.one_sided, np.ones(alone, dtype=bool)]),
        np.concatenate([changes, changes[chosen] + 1]),
        np.concatenate([both.floats, np.zeros(alone)]),
        np.concatenate([both.quantized, both.quantized[chosen]]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """What a table prints by one `rounding`, (S, C): `entries` of floats and quantized, and the `figure`, NaN where an
    entry that divides is 0."""

    rounding: Rounding
    entries: tuple[Floats, Floats]
    figure: Floats


def values(priced: Priced, columns: Columns, roundings: tuple[Rounding, ...], target: Figure) -> Iterator[Values]:
    """The figures of every setting by every weighting, one rounding after the other."""
    products = np.array([setting.products for setting in priced.settings], dtype=float).reshape(-1, 2)
    floats = products[:, :1] + columns.floats
    quantized = products[:, 1:] + columns.quantized
    for rounding in roundings:
        entries = printed(floats, rounding), printed(quantized, rounding)
        if target.is_ratio:
            yield Values(rounding, entries, _ratio(*entries, rounding))
        else:
            yield Values(rounding, entries, entries[1])


def _ratio(floats: Floats, quantized: Floats, rounding: Rounding) -> Floats:
    """Entry over entry; of rounded ones in whole steps of their last digit, so that 4.3 / 0.2 is 21.5 and no less."""
    if rounding.how != "none":
        floats, quantized = (np.rint(entries * 10**rounding.decimals) for entries in (floats, quantized))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(quantized > 0, floats / quantized, np.nan)


def printed(totals: Floats, rounding: Rounding) -> Floats:
    """`rounding.printed` of every total."""
    factor = PREFIXES[rounding.prefix]
    if rounding.how == "none":
        return totals / factor
    scale = 10**rounding.decimals
    steps = totals * scale / factor
    return np.asarray(np.floor(steps + 0.5 if rounding.how == "round" else steps) / scale)
