"""Roofline: MACs per cycle of each group of layers against MACs per byte of DRAM, under the roof of each width they use.

Groups that move no bytes over DRAM have no place on such an axis: they stand in a strip at its right end. The units of a
pipeline work at once, so that no group has the machine, or DRAM, for itself: of pipelines there is the whole alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.estimates import Case, cases, elsewhere, layers, pipelines, shown, value, widths
from reports.plot import Plot
from reports.rows import Bits, bits_label, label
from reports.style import INK, MARKERS, MUTED, ON_LIGHT, PAPER, SERIES, axes_of, logarithmic, styled

_ALL = "all layers"
_MARKERS = ("*", *MARKERS, "p", "h")
_PLACE = 0.055  # of the width of a panel, for each group that stands in the strip


@dataclass(frozen=True, slots=True)
class _Point:
    """MACs per byte of DRAM, None without any, and MACs per cycle, at the widths that the layers have."""

    x: float | None
    y: float
    bits: Bits


_Points = Mapping[str, _Point]
_Colours = Mapping[Bits, str]


@styled()
def roofline(records: Sequence[Record]) -> Plot | None:
    """One panel per accelerator, for the first workload; None where no group's bytes and cycles are known."""
    every = cases(records)
    piped = pipelines(records, every)
    known = {c: _points(c, rows, () if c.accelerator in piped else layers(rows)) for c, rows in shown(every).items()}
    known = {case: by for case, by in known.items() if any(point.x is not None for point in by.values())}
    if not known:
        return None
    found = {case: by for case, by in known.items() if case.bits in widths(known)}
    points = [point for by in found.values() for point in by.values()]
    pairs = sorted({point.bits for point in points}, reverse=True)
    colours = {pair: SERIES[i % len(SERIES)] for i, pair in enumerate(pairs)}
    groups = dict.fromkeys((_ALL, *(group for by in found.values() for group in by)))
    markers = {group: _MARKERS[i % len(_MARKERS)] for i, group in enumerate(groups)}
    machines = tuple(dict.fromkeys(case.accelerator for case in found))
    columns = min(2, len(machines))
    rows = -(-len(machines) // columns)
    figure = Figure(figsize=(2.4 + 4.0 * columns, 1.0 + 3.5 * rows))
    panels = axes_of(figure, rows, columns)
    for axes in panels[len(machines) :]:
        axes.set_visible(False)
    for index, (axes, name) in enumerate(zip(panels, machines, strict=False)):
        own = {case: by for case, by in found.items() if case.accelerator == name}
        _panel(axes, own, every, colours, markers)
        axes.set_title(name)
        if index + columns >= len(machines):
            axes.set_xlabel("MAC per byte of DRAM")
        if index % columns == 0:
            axes.set_ylabel("MAC per cycle")
    handles = [Line2D([], [], color=colour, linewidth=5, label=bits_label(pair)) for pair, colour in colours.items()]
    handles += [Line2D([], [], **_look(marker, MUTED), label=group) for group, marker in markers.items()]
    figure.legend(handles=handles, loc="outside right upper")
    first = next(iter(found))
    more = " Right of the dotted line: groups without DRAM traffic." if any(point.x is None for point in points) else ""
    names = ", ".join(pipelines(records, found))
    more += f" Of {names}, a pipeline, all layers alone: its units work at once." if names else ""
    return Plot(
        "Roofline",
        f"{label(first.workload, records)}, batch {first.batch}, logarithmic axes. Flat lines: the most MACs per cycle that"
        " the array can do at the bit widths beside them. Slanted line: the most that DRAM can feed. Each point is a group of"
        " layers, in the colour of the width that it has itself, the star all layers, in that of the body; how far it lies"
        " under the roofs is what mapping, filling, SRAM ports, the vector unit and bytes and MACs that do not overlap"
        f" take; points of equal numbers cover each other.{more}{elsewhere(every, found, records)}",
        figure,
        place=76,
    )


def _points(case: Case, rows: Sequence[Record], groups: Sequence[str]) -> dict[str, _Point]:
    """Of all layers and of each of `groups` whose MACs and cycles, and bytes or that there are none, are known."""
    found = {}
    for name, node in ((_ALL, ""), *((group, group) for group in groups)):
        intensity, macs, cycles = (value(rows, metric, node) for metric in ("intensity", "macs", "cycles"))
        if macs and cycles and (intensity or value(rows, "dram_bytes", node) == 0):
            found[name] = _Point(intensity or None, macs / cycles, _widths(case, rows, node))
    return found


def _widths(case: Case, rows: Iterable[Record], node: str) -> Bits:
    """The widths of the group `node` by the tags of its records; those of the whole where none says."""
    said = next(((r.tag("w_bits"), r.tag("a_bits")) for r in rows if r.node == node and r.tag("a_bits")), ("", ""))
    return (int(said[0]), int(said[1])) if all(text.isascii() and text.isdigit() for text in said) else case.bits


def _panel(
    axes: Axes,
    found: Mapping[Case, _Points],
    every: Mapping[Case, Sequence[Record]],
    colours: _Colours,
    markers: Mapping[str, str],
) -> None:
    peaks = _peaks(found, every)
    bandwidth = value(every[next(iter(found))], "bandwidth")
    points = [point for by in found.values() for point in by.values()]
    strip = [group for group in markers if any(by[group].x is None for by in found.values() if group in by)]
    xs = [point.x for point in points if point.x is not None]
    xs += [peak / bandwidth for peak in peaks.values()] if bandwidth else []
    left, end, aside = min(xs) / 2.5, max(xs) * 4, _PLACE * (len(strip) + 1) * bool(strip)
    right = left * (end / left) ** (1 / (1 - aside))
    logarithmic(axes, "x", "y", base=2)
    axes.set_xlim(left, right)
    powers, step = (
        range(math.ceil(math.log2(left)), math.floor(math.log2(end)) + 1),
        math.ceil(math.log2(end / left) / 6),
    )
    axes.set_xticks([2.0**power for power in powers if power % step == 0])
    axes.set_ylim(min(point.y for point in points) / 2, max([*(point.y for point in points), *peaks.values()]) * 2.2)
    for by in found.values():
        for group, point in by.items():
            look = _look(markers[group], colours[point.bits])
            if point.x is not None:
                axes.plot(point.x, point.y, **look)
            else:
                at = 1 - _PLACE * (len(strip) - strip.index(group))
                axes.plot(at, point.y, transform=axes.get_yaxis_transform(), **look)
    _roofs(axes, peaks, bandwidth, colours, (left, right))
    if strip:
        axes.axvline(end, color=MUTED, linewidth=1, linestyle=":")
        _say(axes, "no DRAM traffic", (1 - aside, 0), (4, 5), rotation=90, va="bottom", color=MUTED)


def _peaks(found: Mapping[Case, _Points], every: Mapping[Case, Sequence[Record]]) -> dict[Bits, float]:
    """The most MACs per cycle at each width that points have: that of the whole, or else the highest of a group."""
    whole: dict[Bits, float] = {}
    parts: dict[Bits, float] = {}
    for case, by in found.items():
        for group, point in by.items():
            peak = value(every[case], "peak", "" if group == _ALL else group)
            held = whole if group == _ALL else parts
            if peak is not None:
                held[point.bits] = max(peak, held.get(point.bits, peak))
    return parts | whole


def _roofs(
    axes: Axes, peaks: Mapping[Bits, float], bandwidth: float | None, colours: _Colours, room: tuple[float, float]
) -> None:
    """The peaks as flat lines, equal ones as one, from where DRAM can feed them; the bandwidth as a slanted line."""
    for peak in sorted(set(peaks.values()), reverse=True):
        equal = [pair for pair in colours if peaks.get(pair) == peak]
        start = peak / bandwidth if bandwidth else room[0]
        colour = colours[equal[0]] if len(equal) == 1 else INK
        axes.plot([start, room[1]], [peak, peak], color=colour, linewidth=1.4, zorder=1.5)
        said = "\n".join((*map(bits_label, equal), f"{peak:,.{0 if peak >= 100 else 1}f}"))
        _say(axes, said, (1, peak), (4, 0), xycoords=("axes fraction", "data"), va="center")
    if bandwidth:
        end = max(peaks.values(), default=bandwidth * room[1])
        axes.plot([room[0], end / bandwidth], [room[0] * bandwidth, end], color=INK, linewidth=1.4, zorder=1.5)
        backed = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
        _say(axes, f"DRAM: {bandwidth:,.4g} B per cycle", (0, 1), (6, -4), va="top", bbox=backed)


def _say(axes: Axes, text: str, at: tuple[float, float], off: tuple[float, float], **options: Any) -> None:
    look = {"xycoords": "axes fraction", "textcoords": "offset points", "size": 8.5, "color": INK}
    axes.annotate(text, at, off, **{**look, **options})


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
