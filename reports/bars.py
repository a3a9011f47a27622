"""Bars of groups of trainings: the mean, the spread over seeds as a line, and every seed as a dot."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.style import BLUE, GREEN, INK, MUTED, ON_LIGHT, ORANGE, PURPLE, SKY, axes_of
from reports.trainings import Group, name

WIDTHS = {(32, 32): MUTED, (2, 2): BLUE, (3, 3): SKY, (4, 4): GREEN, (8, 8): ORANGE}
"""Colours of widths."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity: its title, and the groups that have it, in the unit that is drawn."""

    title: str
    groups: tuple[Group, ...]


def bars(panels: Sequence[Panel]) -> Figure:
    """One row per group that any panel has, float first, else as they first appear, and one panel beside the other."""
    shown = list({group.key: group for panel in panels for group in panel.groups}.values())
    shown.sort(key=lambda group: group.bits != (32, 32))
    rows = {group.key: y for y, group in enumerate(shown)}
    figure = Figure(figsize=(3.2 + 2.5 * len(panels), 1.1 + 0.31 * len(shown)))
    for axes, panel in zip(axes_of(figure, 1, len(panels), sharey=True), panels, strict=True):
        axes.set_title(fill(panel.title, 24), size=10)
        for group in panel.groups:
            _bar(axes, rows[group.key], group)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        for y in range(1, len(shown)):
            if shown[y].bits != shown[y - 1].bits:
                axes.axhline(y - 0.5, color=MUTED, linewidth=0.7)
    figure.axes[0].set_yticks(range(len(shown)), [name(group, shown) for group in shown])
    figure.axes[0].set_ylim(len(shown) - 0.4, -0.6)
    return figure


def _bar(axes: Axes, y: int, group: Group) -> None:
    axes.barh(y, group.mean, height=0.68, color=WIDTHS.get(group.bits, PURPLE), alpha=0.55)
    low = min(group.spread, group.mean)
    axes.errorbar(group.mean, y, xerr=[[low], [group.spread]], color=INK, linewidth=1.3, capsize=3)
    places = [y + 0.36 * ((i + 0.5) / len(group.values) - 0.5) for i in range(len(group.values))]
    axes.plot(group.values, places, "o", color=ON_LIGHT, markersize=3.2, alpha=0.85)
