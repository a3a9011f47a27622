"""Roofline: MACs per cycle of each group of layers against MACs per byte of DRAM, under the roofs of each bit width."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.estimates import cases, elsewhere, layers, shown, value, widths
from reports.plot import Plot
from reports.rows import Bits, bits, bits_label, label, number, select
from reports.style import INK, MARKERS, MUTED, ON_LIGHT, PAPER, SERIES, axes_of, logarithmic, styled

_ALL = "all layers"
_MARKERS = ("*", *MARKERS, "p", "h")
Points = dict[str, tuple[float, float]]


@styled()
def roofline(records: Sequence[Record]) -> Plot | None:
    """One panel per accelerator, for the first workload; None where no group's bytes and cycles are known."""
    every = cases(records)
    found = {case: points for case, rows in shown(every).items() if (points := _points(rows))}
    if not found:
        return None
    across = {pair: SERIES[i % len(SERIES)] for i, pair in enumerate(widths(found))}
    names = tuple(dict.fromkeys(case.accelerator for case in found))
    groups = (_ALL, *dict.fromkeys(group for points in found.values() for group in points if group != _ALL))
    markers = {group: _MARKERS[i % len(_MARKERS)] for i, group in enumerate(groups)}
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.4 + 4.0 * columns, 1.0 + 3.5 * rows))
    panels = axes_of(figure, rows, columns)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for index, (axes, name) in enumerate(zip(panels, names, strict=False)):
        own = {case.bits: points for case, points in found.items() if case.accelerator == name and case.bits in across}
        _panel(axes, own, [r for r in records if r.accelerator == name], across, markers)
        axes.set_title(name)
        if index + columns >= len(names):
            axes.set_xlabel("MAC per byte of DRAM")
        if index % columns == 0:
            axes.set_ylabel("MAC per cycle")
    handles = [Line2D([], [], color=colour, linewidth=5, label=bits_label(pair)) for pair, colour in across.items()]
    handles += [Line2D([], [], **_look(marker, MUTED), label=group) for group, marker in markers.items()]
    figure.legend(handles=handles, loc="outside right upper")
    first = next(iter(found))
    drawn = [case for case in found if case.bits in across]
    return Plot(
        "Roofline",
        f"{label(first.workload, records)}, batch {first.batch}, logarithmic axes. Flat lines: the most MACs per cycle that"
        " the array can do at the bit widths beside them. Slanted line: the most that DRAM can feed. Each point is a group of"
        " layers at one width, the star all layers; how far it lies under the roofs is what mapping, filling, SRAM ports,"
        f" the vector unit and bytes and MACs that do not overlap take.{elsewhere(every, drawn, records)}",
        figure,
        place=76,
    )


def _points(rows: Sequence[Record]) -> Points:
    """MACs per byte and per cycle, of all layers and of each group that has both."""
    found: Points = {}
    for name, node in ((_ALL, ""), *((group, group) for group in layers(rows))):
        intensity, macs, cycles = (value(rows, metric, node) for metric in ("intensity", "macs", "cycles"))
        if intensity and macs and cycles:
            found[name] = intensity, macs / cycles
    return found


def _panel(
    axes: Axes,
    found: Mapping[Bits, Points],
    own: Sequence[Record],
    across: Mapping[Bits, str],
    markers: Mapping[str, str],
) -> None:
    peaks = {bits(r): number(r) for r in reversed(select(own, "peak")) if bits(r) in across}
    bandwidth = value(own, "bandwidth")
    xs = [x for points in found.values() for x, _ in points.values()]
    ridges = [peak / bandwidth for peak in peaks.values()] if bandwidth else []
    left, right = min([*xs, *ridges]) / 2.5, max([*xs, *ridges]) * 4
    logarithmic(axes, "x", "y", base=2)
    for pair, points in found.items():
        for group, (x, y) in points.items():
            axes.plot(x, y, **_look(markers[group], across[pair]))
    _roofs(axes, peaks, bandwidth, across, (left, right))
    axes.set_xlim(left, right)
    ys = [y for points in found.values() for _, y in points.values()]
    axes.set_ylim(min(ys) / 2, max([*ys, *peaks.values()]) * 2.2)


def _roofs(
    axes: Axes,
    peaks: Mapping[Bits, float],
    bandwidth: float | None,
    across: Mapping[Bits, str],
    room: tuple[float, float],
) -> None:
    """The peaks as flat lines, equal ones as one, from where DRAM can feed them; the bandwidth as a slanted line."""
    for peak in dict.fromkeys(peaks.values()):
        equal = [pair for pair in across if peaks.get(pair) == peak]
        start = peak / bandwidth if bandwidth else room[0]
        colour = across[equal[0]] if len(equal) == 1 else INK
        axes.plot([start, room[1]], [peak, peak], color=colour, linewidth=1.4, zorder=1.5)
        axes.annotate(
            "\n".join((*map(bits_label, equal), f"{peak:,.{0 if peak >= 100 else 1}f}")),
            (1, peak),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            size=8.5,
            color=INK,
        )
    if bandwidth:
        end = max(peaks.values(), default=bandwidth * room[1])
        axes.plot([room[0], end / bandwidth], [room[0] * bandwidth, end], color=INK, linewidth=1.4, zorder=1.5)
        axes.annotate(
            f"DRAM: {bandwidth:,.4g} B per cycle",
            (0, 1),
            (6, -4),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            size=8.5,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )


def _look(marker: str, colour: str) -> dict[str, Any]:
    return {
        "marker": marker,
        "color": colour,
        "linestyle": "none",
        "markersize": 12 if marker == "*" else 7,
        "markeredgecolor": ON_LIGHT,
        "markeredgewidth": 0.6,
        "zorder": 4 if marker == "*" else 3,
    }
