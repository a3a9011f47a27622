"""Stacked bars of energy by component, under each energy table: what the tables agree on, and what they do not."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hwsim.record import Record
from reports.estimates import COMPONENTS, cases, elsewhere, energies, shares, shown, usual, without_leakage
from reports.plot import Plot
from reports.rows import label
from reports.style import BLUE, GREEN, ON_DARK, ON_LIGHT, RED, SKY, axes_of, styled

_COLOURS = dict(zip(COMPONENTS, (BLUE, SKY, RED, GREEN, "#999977"), strict=True))
_DARK = ("mac", "dram")  # their colour takes light text
_LEAST = 5  # percent: a narrower segment has no room for its number


@styled()
def energy_spread(records: Sequence[Record]) -> Plot | None:
    """A row of two panels per accelerator, mJ and shares, at one bit width; None where nothing was priced."""
    every = cases(records)
    found = shown({case: rows for case, rows in every.items() if energies(rows)})
    if not found:
        return None
    priced = {case: energies(found[case]) for case in usual(found)}
    heights = [len(tables) + 1.6 for tables in priced.values()]
    figure = Figure(figsize=(10.4, 0.9 + 0.33 * sum(heights)))
    panels = axes_of(figure, len(priced), 2, gridspec_kw={"width_ratios": (1, 0.9), "height_ratios": heights})
    for row, (case, tables) in enumerate(priced.items()):
        absolute, share = panels[2 * row : 2 * row + 2]
        _panel(absolute, share, tables)
        totals = [by["total"] for by in tables.values()]
        many = len(totals) > 1 and min(totals) > 0
        spread = f": {max(totals) / min(totals):.1f}x between energy tables" if many else ""
        absolute.set_title(f"{case}{spread}", size=10)
    panels[-2].set_xlabel("mJ")
    panels[-1].set_xlabel("share of the energy (%)")
    handles = [Patch(color=_COLOURS[part], label=words) for part, words in COMPONENTS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    first = next(iter(priced))
    bounds = ", ".join(without_leakage(found[case] for case in priced))
    return Plot(
        "Energy under several tables",
        f"{label(first.workload, records)}, batch {first.batch}: energy of one image by component, the same actions"
        " priced by each energy table; left in mJ, right as shares. The spread is the largest total over the smallest."
        " Tables are of different nodes and sources, so an energy without the name of its table says little."
        f"{f' No leakage in the source, a lower bound: {bounds}.' if bounds else ''}"
        f"{elsewhere(every, priced, records)}",
        figure,
        place=77,
    )


def _panel(absolute: Axes, share: Axes, tables: Mapping[str, Mapping[str, float]]) -> None:
    for y, by in enumerate(tables.values()):
        left, before = 0.0, 0.0
        percents = shares([by[part] for part in COMPONENTS])
        for (part, colour), percent in zip(_COLOURS.items(), percents, strict=True):
            absolute.barh(y, by[part], 0.74, left=left, color=colour)
            share.barh(y, percent, 0.74, left=before, color=colour)
            if percent >= _LEAST:
                ink = ON_DARK if part in _DARK else ON_LIGHT
                at = before + percent / 2
                share.text(at, y, f"{percent:.0f}", color=ink, ha="center", va="center_baseline", size=8.5)
            left, before = left + by[part], before + percent
        said = f"{by['total']:,.4g} mJ"
        absolute.annotate(said, (left, y), (4, 0), textcoords="offset points", va="center_baseline", size=9)
    absolute.set_xlim(0, 1.25 * max(by["total"] for by in tables.values()) or 1)
    absolute.set_yticks(range(len(tables)), list(tables))
    share.set_yticks(range(len(tables)), [""] * len(tables))
    share.set_xlim(0, 100)
    for axes in (absolute, share):
        axes.set_ylim(len(tables) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
