"""The points of a sweep by their objectives, those that no other beats in front of the rest."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from hwsim.record import Record
from reports.fronts import OBJECTIVES, Point, fronts
from reports.plot import Plot
from reports.style import MARKERS, ON_LIGHT, SERIES, axes_of, logarithmic, styled

_MOST = 12
"""Fronts that can be told apart."""


@styled()
def pareto_front(records: Sequence[Record]) -> Plot | None:
    """One panel for each objective beside the first, which is along x; None where nothing was swept."""
    found = fronts(records)
    if not found:
        return None
    names = tuple(dict.fromkeys(name for front in found for name in front[0].objectives))
    across, *up = names if len(names) > 1 else (*names, *(name for name in OBJECTIVES if name not in names))[:2]
    figure = Figure(figsize=(4.9 * max(2, len(up)), 4.8))
    panels = axes_of(figure, 1, len(up))
    for axes, name in zip(panels, up, strict=True):
        for index, front in enumerate(found[:_MOST]):
            _draw(axes, front, across, name, index)
        axes.set_xlabel(_title(across))
        axes.set_title(_title(name))
        _scale(axes, "x", [point.values[across] for front in found[:_MOST] for point in front])
        _scale(axes, "y", [point.values[name] for front in found[:_MOST] for point in front])
    handles = [
        Line2D([], [], linestyle="none", color=_colour(i), marker=_marker(i), label=front[0].name(records))
        for i, front in enumerate(found[:_MOST])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    left_out = f" {len(found) - _MOST} further fronts are left out." if len(found) > _MOST else ""
    return Plot(
        "Pareto fronts of the design space",
        f"Full markers: machines that no other of the same front beats in {', '.join(names)} together; a point that stands"
        " behind others in one panel is before them in another. Faint dots: some of the machines that are beaten. Less is"
        " better on each axis, most are logarithmic; area is a proxy, energy is at the prices of one table, which is named in"
        f" the legend.{left_out}",
        figure,
        place=83,
    )


def _draw(axes: Axes, front: Sequence[Point], across: str, up: str, index: int) -> None:
    for best in (False, True):
        chosen = [point.values for point in front if point.best == best]
        x, y = [values[across] for values in chosen], [values[up] for values in chosen]
        if best:
            edge: Any = {"markeredgecolor": ON_LIGHT, "markeredgewidth": 0.5, "markersize": 7, "zorder": 4}
            axes.plot(x, y, linestyle="none", color=_colour(index), marker=_marker(index), **edge)
        else:
            axes.plot(
                x, y, linestyle="none", color=_colour(index), marker=".", markersize=4, alpha=0.45, markeredgewidth=0
            )


def _scale(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Logarithmic where the values differ by more than a factor of four, with a number at 1, 2 and 5."""
    if min(values) > 0 and max(values) > 4 * min(values):
        logarithmic(axes, which)
        (axes.xaxis if which == "x" else axes.yaxis).set_major_locator(LogLocator(subs=(1, 2, 5)))


def _title(name: str) -> str:
    heading, unit = OBJECTIVES[name]
    return f"{heading} ({unit})"


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]
