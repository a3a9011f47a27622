"""Dots: what the model of each accelerator gives, over what was published, with the band in which it should lie."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from hwsim.record import Record
from reports.plot import Plot
from reports.predictions import Prediction, predictions
from reports.rows import label
from reports.style import BLUE, GRID, INK, MUTED, ON_LIGHT, ORANGE, RED, SHADES, axes_of, logarithmic, styled

_COLOURS = {"inside": BLUE, "outside": RED, "no band": ORANGE}
_MARKERS = {"printed": "o", "recalled": "s", "inferred": "^"}
_BAND = SHADES[0]
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1, 1.25, 2, 5, 10, 20, 50, 100)


@styled()
def published_agreement(records: Sequence[Record]) -> Plot | None:
    """One line per published figure; None where nothing was predicted."""
    found = predictions(records)
    drawn = [(p, p.ratio) for p in found if p.ratio is not None and p.ratio > 0]
    if not drawn:
        return None
    figure = Figure(figsize=(10.4, 1.3 + 0.27 * len(drawn)))
    axes = axes_of(figure)[0]
    logarithmic(axes, "x")
    left, right = _room([ratio for _, ratio in drawn], drawn)
    axes.set_xlim(left, right)
    for y, (p, ratio) in enumerate(drawn):
        axes.axhline(y, color=GRID, linewidth=0.7, zorder=0.5)
        if p.low is not None or p.high is not None:
            low, high = p.low or left, p.high or right
            axes.barh(y, high - low, 0.62, left=low, color=_BAND, edgecolor=SHADES[1], linewidth=0.8, zorder=0.8)
        axes.plot(ratio, y, **_look(_COLOURS[p.verdict], _MARKERS.get(p.record.tag("status"), "D")))
        axes.annotate(
            f"{ratio:.3f}",
            (1, y),
            (5, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center_baseline",
            size=8.5,
            color=RED if p.verdict == "outside" else MUTED,
        )
    axes.axvline(1, color=INK, linewidth=1, zorder=0.9)
    axes.set_yticks(range(len(drawn)), [_name(p, records) for p, _ in drawn])
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(left, right)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("ours over the published figure, logarithmic")
    figure.legend(handles=_handles([p for p, _ in drawn]), loc="outside lower center", ncols=4)
    return Plot(
        "Published accelerators against ours",
        "Each dot is a published figure of an accelerator: on the line in the middle our model gives the same, right of it"
        " more, left of it less; the ratio stands at the right. Pale: the band in which it should lie, for the reasons that"
        " the table gives. Marker: whether the figure is printed in its source, recalled, or inferred from what is printed."
        f" Not drawn: {len(found) - len(drawn)} that the model does not predict.",
        figure,
        place=81,
    )


def _room(ratios: Sequence[float], drawn: Sequence[tuple[Prediction, float]]) -> tuple[float, float]:
    """The range of the ratios and bands, at least from 0.8 to 1.25."""
    bounds = [edge for p, _ in drawn for edge in (p.low, p.high) if edge]
    return min(0.8, *ratios, *bounds) / 1.1, max(1.25, *ratios, *bounds) * 1.1


def _ticks(left: float, right: float) -> list[float]:
    """Those of _TICKS within the range; fine ones only where it is narrow."""
    fine = right / left < 30
    return [tick for tick in _TICKS if left <= tick <= right and (fine or tick not in (0.8, 1.25))]


def _name(p: Prediction, records: Sequence[Record]) -> str:
    words = (p.accelerator, label(p.record.workload, records) if p.record.workload else "", p.record.tag("quantity"))
    return ", ".join(word for word in words if word)


def _look(colour: str, marker: str) -> dict[str, Any]:
    return {
        "color": colour,
        "marker": marker,
        "linestyle": "none",
        "markersize": 7,
        "markeredgecolor": ON_LIGHT,
        "markeredgewidth": 0.6,
        "zorder": 3,
    }


def _handles(drawn: Sequence[Prediction]) -> list[Line2D | Patch]:
    """What the band, the colours and the markers mean, as far as they are there."""
    seen, said = {p.verdict for p in drawn}, {p.record.tag("status") for p in drawn}
    handles: list[Line2D | Patch] = [Patch(color=_BAND, label="band")] if seen & {"inside", "outside"} else []
    handles += [Patch(color=colour, label=name) for name, colour in _COLOURS.items() if name in seen]
    return handles + [Line2D([], [], **_look(MUTED, m), label=name) for name, m in _MARKERS.items() if name in said]
