"""Divergence from fake quant, and predictions that agree, of the integer form by each recipe."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import label
from reports.studies import LEAST_KL, Point, points
from reports.style import GRID, MARKERS, ON_LIGHT, SERIES, axes_of, logarithmic, styled

_SPREAD = 0.6  # of the room between two workloads


@styled()
def recipes(records: Sequence[Record]) -> Plot | None:
    """Two panels, one marker per recipe and workload in each; None where no recipe was judged."""
    found = points(records, "recipes")
    if not found:
        return None
    names = tuple(dict.fromkeys(point.workload for point in found))
    shown = tuple(dict.fromkeys(point.tags.get("recipe", "") for point in found))
    figure = Figure(figsize=(10.4, 4.6))
    divergence, agreement = axes_of(figure, 1, 2)
    divergence.set_title("KL divergence from fake quant (nat)")
    agreement.set_title("Predictions that agree with fake quant (%)")
    for point in found:
        index = shown.index(point.tags.get("recipe", ""))
        x = names.index(point.workload) + _SPREAD * ((index + 0.5) / len(shown) - 0.5)
        divergence.plot(x, max(point.kl_divergence, LEAST_KL), **_look(index))
        agreement.plot(x, 100 * point.agreement, **_look(index))
    logarithmic(divergence, "y")
    agreement.set_ylim(100 - 1.1 * _most(found), 100 + 0.05 * _most(found))
    for axes in (divergence, agreement):
        _name(axes, [label(name, records) for name in names])
    handles = [Line2D([], [], **_look(index), label=name) for index, name in enumerate(shown)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))
    return Plot(
        "The integer form against fake quant",
        "Left: mean KL divergence of the integers' predictions from those of the fake-quant model, natural logarithm, on a"
        " logarithmic axis; lower is nearer. Right: the share of test images that both put into one class; the axis does"
        " not start at zero. Each recipe names the integer definitions of softmax, GELU and LayerNorm and the widths"
        " between them; their scales come from training images.",
        figure,
        place=51,
    )


def _look(index: int) -> dict[str, Any]:
    return {
        "color": SERIES[index % len(SERIES)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": "none",
        "markersize": 9,
        "markeredgecolor": ON_LIGHT,
        "markeredgewidth": 0.6,
    }


def _most(found: Sequence[Point]) -> float:
    """The largest share of predictions that do not agree, in percent; at least 1."""
    return max(1.0, *(100 * (1 - point.agreement) for point in found))


def _name(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    for x in range(1, len(names)):
        axes.axvline(x - 0.5, color=GRID, linewidth=0.7)
