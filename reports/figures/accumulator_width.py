"""Accuracy with accumulators narrower than proven, which wrap or saturate where a sum does not fit."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import label
from reports.studies import Point, parted, points, tag_number
from reports.style import BLUE, MUTED, ORANGE, PURPLE, SKY, axes_of, styled

_LOOKS = (("o", BLUE), ("s", ORANGE), ("^", PURPLE), ("D", SKY))
_MARKS = (("bits_seen", "sums seen"), ("bits_weights", "any activations"), ("bits_codes", "any operands"))


@styled()
def accumulator_width(records: Sequence[Record]) -> Plot | None:
    """One panel per workload, one line per way to overflow; None where no width was tried."""
    found = points(records, "accumulator_width")
    if not found:
        return None
    lines = parted(found, "overflow")
    names = tuple(dict.fromkeys(workload for workload, _ in lines))
    ways = tuple(dict.fromkeys(overflow for _, overflow in lines))
    figure = Figure(figsize=(2.2 + 4.1 * len(names), 4.4))
    panels = axes_of(figure, 1, len(names), sharey=True)
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(label(name, records))
        for way in ways:
            _line(axes, lines.get((name, way), ()), ways.index(way), way)
        _mark(axes, next(line for (workload, _), line in lines.items() if workload == name)[0])
        axes.set_xlabel("accumulator width (bits)")
        axes.set_ylim(0, 104)
    panels[0].set_ylabel("top-1 accuracy (%)")
    handles = {text: handle for axes in panels for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=max(1, len(handles)))
    return Plot(
        "Accuracy against accumulator width",
        "Every product of the mixed form sums its K products exactly and then keeps this many bits, by dropping the high ones"
        " (wrap) or by clamping (saturate). Dashed lines: the widths that hold the sums seen on these images, those of any"
        " activations with these weights, and those of any operands; where the images' sums fit, nothing changes. One width"
        " for all layers: the 8-bit ends of the network need the most.",
        figure,
        place=57,
    )


def _line(axes: Axes, line: Sequence[Point], index: int, way: str) -> None:
    marker, colour = _LOOKS[index % len(_LOOKS)]
    ordered = sorted(line, key=lambda point: tag_number(point.tags, "acc_bits"))
    widths = [tag_number(point.tags, "acc_bits") for point in ordered]
    axes.plot(widths, [100 * p.accuracy for p in ordered], marker=marker, color=colour, label=way, markersize=6)


def _mark(axes: Axes, point: Point) -> None:
    """Dashed lines at the widths that are known to do, with their names."""
    at: dict[float, list[str]] = {}
    for key, word in _MARKS:
        if key in point.tags:
            at.setdefault(tag_number(point.tags, key), []).append(word)
    for place, words in at.items():
        axes.axvline(place, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0.8)
        axes.annotate(
            ", ".join(words),
            (place, 3),
            (-2, 0),
            textcoords="offset points",
            color=MUTED,
            ha="right",
            va="bottom",
            size=9,
            rotation=90,
        )
