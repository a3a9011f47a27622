"""Error of each quantizer on real values of the model against its bits, place by place."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.plot import Plot
from reports.reconstruction import Errors, errors, place, widths
from reports.rows import label
from reports.style import MARKERS, SERIES, axes_of, logarithmic, styled

_MOST = 8
"""Panels."""


@styled()
def reconstruction_error(records: Sequence[Record]) -> Plot | None:
    """One panel per place, with a line per quantizer; None where there are no errors above zero."""
    found = [of for of in errors(records) if any(v > 0 for values in of.by_bits.values() for v in values.values())]
    if not found:
        return None
    panels = list(dict.fromkeys((of.model, of.place) for of in found))
    shown = panels[:_MOST]
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(5.2 * columns, 0.4 + 3.9 * rows))
    grid = axes_of(figure, rows, columns)
    several = len({of.model for of in found}) > 1
    for axes, (model, where) in zip(grid, shown, strict=False):
        axes.set_title(f"{label(model, ())}, {place(where)}" if several else place(where))
        _draw(axes, [of for of in found if (of.model, of.place) == (model, where)])
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes in grid[:: max(1, columns)]:
        axes.set_ylabel("relative squared error")
    left_out = f" {len(panels) - _MOST} further panels are left out." if len(panels) > _MOST else ""
    return Plot(
        "Reconstruction error of quantizers",
        "Squared error over the sum of squares on values of the float model, each quantizer with the grid that it finds on"
        " them. Lines are means over the modules of a place, dots the single modules; the scale is logarithmic. A line that"
        f" ends: the quantizer does not define more bits.{left_out}",
        figure,
        place=80,
    )


def _draw(axes: Axes, found: Sequence[Errors]) -> None:
    at = widths(found)
    handles = []
    for index, of in enumerate(found):
        colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        shift = 0.07 * (index - (len(found) - 1) / 2)
        xs = [at.index(bits) + shift for bits in at if of.mean(bits)]
        means = [mean for bits in at if (mean := of.mean(bits))]
        axes.plot(xs, means, color=colour, marker=marker, markersize=5.5, linewidth=1.3)
        for x, bits in zip(xs, (b for b in at if of.mean(b)), strict=True):
            values = [value for value in of.by_bits[bits].values() if value > 0]
            axes.plot([x] * len(values), values, ".", color=colour, markersize=3, alpha=0.5)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=5.5, linewidth=1.3, label=of.quantizer))
    axes.set_xticks(range(len(at)), [f"{bits}" for bits in at])
    axes.set_xlabel("bits")
    logarithmic(axes, "y")
    axes.grid(visible=False, axis="x")
    axes.legend(handles=handles, loc="lower left")
