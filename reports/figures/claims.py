"""Dots: how far ours is from each published figure, by verdict and by who states the rule."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from hwsim.record import Record
from reports.plot import Plot
from reports.style import BLUE, GREEN, GRID, MUTED, ON_LIGHT, ORANGE, PAPER, RED, axes_of, styled
from reports.verdicts import error, metric_of, ordered, short_source, tally_of

COLOURS = {"exact": BLUE, "within rounding": GREEN, "truncated": ORANGE, "off": RED}
STANDING = {"printed": "o", "fitted": "s", "inferred": "^"}
LINEAR = 0.1
"""Percent up to which the axis is linear; beyond, it is logarithmic."""


@styled()
def claims(records: Sequence[Record]) -> Plot | None:
    """One line per source, model and metric, one dot per figure; None where no formula decided a claim."""
    rows = [r for r in ordered(records) if r.tag("verdict") in COLOURS]
    if not rows:
        return None
    lines: dict[tuple[str, str], list[Record]] = {}
    for r in rows:
        what = f"{r.tag('model')} {metric_of(r)}".strip()
        lines.setdefault((short_source(r), what), []).append(r)
    figure = Figure(figsize=(10.4, 1.6 + 0.235 * (len(lines) + 0.6 * len({source for source, _ in lines}))))
    axes = axes_of(figure)[0]
    _axis(axes, max(abs(100 * error(r)) for r in rows))
    ticks: list[float] = []
    y, last = 0.0, ""
    for (source, _), found in lines.items():
        y += 1.6 if source != last and last else 1.0
        _dots(axes, y, found)
        if source != last:
            _say(axes, y, 0, source)
        agree = sum(r.tag("verdict") != "off" for r in found)
        _say(axes, y, 1, f"{agree} of {len(found)}")
        last = source
        ticks.append(y)
    axes.set_yticks(ticks, [what for _, what in lines])
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.set_ylim(y + 1, 0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("relative error of ours (%), linear to 0.1 %, logarithmic beyond")
    figure.legend(handles=_handles(rows), loc="outside lower left", ncols=4)
    counts = tally_of(records)
    return Plot(
        "Published figures against ours",
        "Each dot is a published figure; left of the line in the middle ours is smaller, right of it larger. Colour: whether"
        " ours is the printed figure by its printed decimals. Marker: who says that the figure follows the rule, its authors"
        " or we; equal dots lie on each other. Beside dots that are off, the bits of the weights. At the right,"
        " how many of the line's figures ours agrees with."
        f" Not drawn: {counts['measurement']} that take a measurement, {counts['undecided']} undecided.",
        figure,
        place=22,
    )


def _axis(axes: Axes, most: float) -> None:
    """A symmetric axis in percent with a line at zero."""
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.2)
    edge = max(most * 2.2, 1)
    axes.set_xlim(-edge * 12, edge * 3)
    steps = [step for step in (0.1, 1, 10, 100) if step <= edge]
    axes.set_xticks([*(-step for step in reversed(steps)), 0, *steps])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(0, color=MUTED, linewidth=1, zorder=0.9)


def _dots(axes: Axes, y: float, found: Sequence[Record]) -> None:
    axes.axhline(y, color=GRID, linewidth=0.7, zorder=0.5)
    for r in found:
        axes.plot(100 * error(r), y, **_look(COLOURS[r.tag("verdict")], STANDING.get(r.source, "D")), zorder=3)
    named = sorted((r for r in found if r.tag("verdict") == "off" and r.tag("wbits")), key=error)
    for index, r in enumerate(named):
        above = index % 2 == 0
        axes.annotate(
            r.tag("wbits"),
            (100 * error(r), y),
            (0, 4.5 if above else -4.5),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            size=7,
            color=RED,
        )


def _say(axes: Axes, y: float, side: int, text: str) -> None:
    """`text` at the left (0) or right (1) edge, over the line there."""
    axes.annotate(
        text,
        (side, y),
        (4 - 8 * side, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right" if side else "left",
        va="center",
        color=MUTED,
        size=9,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
    )


def _look(colour: str, marker: str) -> dict[str, Any]:
    return {
        "color": colour,
        "marker": marker,
        "linestyle": "none",
        "markersize": 7,
        "markeredgecolor": ON_LIGHT,
        "markeredgewidth": 0.6,
        "alpha": 0.9,
    }


def _handles(rows: Sequence[Record]) -> list[Line2D]:
    seen = {r.tag("verdict") for r in rows}
    verdicts = [Line2D([], [], **_look(colour, "o"), label=name) for name, colour in COLOURS.items() if name in seen]
    standings = [
        Line2D([], [], **_look(GRID, marker), label=f"rule {name}")
        for name, marker in STANDING.items()
        if name in {r.source for r in rows}
    ]
    return [*verdicts, *standings]
