"""Bars of theoretical speedup per model and bit width, with other readings as markers and claims as lines."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hwsim.record import Record
from reports.plot import Plot
from reports.ratios import RATIOS, claimed, distinct, reading_label, readings
from reports.rows import bit_widths, bits, bits_label, label, number, select, workloads
from reports.style import GREEN, MARKERS, ON_DARK, ON_LIGHT, ORANGE, PURPLE, RED, SHADES, SKY, axes_of, styled

_OTHERS = (ORANGE, GREEN, PURPLE, SKY)
_WIDTH = 0.245


@styled()
def speedup(records: Sequence[Record]) -> Plot | None:
    """The documented rule as bars, inferred readings as markers; None where no speedup was audited."""
    audited = select(records, *RATIOS)
    if not select(audited, "theoretical_speedup"):
        return None
    rows = distinct(audited)
    names, widths, (main, *others) = workloads(rows), bit_widths(rows), readings(rows)
    figure = Figure(figsize=(9.6, 5.6))
    axes = axes_of(figure)[0]
    handles: list[Patch | Line2D] = [
        Patch(color=_shade(i, len(widths)), label=bits_label(pair)) for i, pair in enumerate(widths)
    ]
    place = {
        (n, w): x + _WIDTH * (i - (len(widths) - 1) / 2) for x, n in enumerate(names) for i, w in enumerate(widths)
    }
    for row in rows:
        x, value = place[row.workload, bits(row)], number(row)
        if row.tag("convention") == main:
            _bar(axes, x, value, widths.index(bits(row)), len(widths))
    for i, convention in enumerate(others):
        points = [(place[r.workload, bits(r)], number(r)) for r in rows if r.tag("convention") == convention]
        shift = 0.09 * (i - (len(others) - 1) / 2)
        look: dict[str, Any] = {
            "marker": MARKERS[i % len(MARKERS)],
            "color": _OTHERS[i % len(_OTHERS)],
            "linestyle": "none",
        }
        style: dict[str, Any] = {**look, "markeredgecolor": ON_LIGHT, "markeredgewidth": 0.7, "zorder": 4}
        axes.plot([x + shift for x, _ in points], [y for _, y in points], **style)
        handles.append(Line2D([], [], **style, label=reading_label(convention, rows)))
    marks = {(place[r.workload, bits(r)], mark): r for r in audited if (mark := claimed(r)) is not None}
    for x, mark in marks:
        axes.plot(
            [x - _WIDTH / 2, x + _WIDTH / 2], [mark, mark], color=RED, linewidth=3, solid_capstyle="butt", zorder=3
        )
        axes.annotate(
            f"{mark:g}x",
            (x - _WIDTH / 2, mark),
            (-3, 0),
            textcoords="offset points",
            color=RED,
            ha="right",
            va="center",
        )
    if marks:
        handles.append(Line2D([], [], color=RED, linewidth=3, label="claimed (printed, or quoted by others)"))
    axes.set_xticks(range(len(names)), [label(name, records) for name in names])
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("speedup (ratio of operations)")
    axes.set_ylim(0)
    figure.legend(
        handles=handles, loc="outside lower left", ncols=2, title=f"Bars: {reading_label(main, rows)}", alignment="left"
    )
    return Plot(
        "Theoretical speedup by model and bit width",
        f"Bars: {reading_label(main, rows)}, the number at the foot is the bar's height. Markers: other readings; where"
        " entries are rounded before the ratio is taken, a small model moves in large steps, because its"
        " quantized entry"
        " is only 0.1 or 0.2. Red line: the claimed figure. All are ratios of counted operations, full precision"
        " over quantized, not measured times.",
        figure,
        place=12,
    )


def _shade(index: int, count: int) -> str:
    return SHADES[round(index * (len(SHADES) - 1) / max(1, count - 1))]


def _bar(axes: Axes, x: float, value: float, index: int, count: int) -> None:
    shade = _shade(index, count)
    axes.bar(x, value, _WIDTH * 0.94, color=shade)
    ink = ON_LIGHT if shade == SHADES[0] else ON_DARK
    axes.annotate(
        f"{value:.1f}", (x, 0), (0, 3), textcoords="offset points", ha="center", va="bottom", color=ink, size=9
    )
