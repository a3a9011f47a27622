"""Weights that oscillate, over a training: the share whose codes go back and forth."""

import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.errors import BadFile
from hwsim.record import Record
from reports.plot import Plot
from reports.rows import number, select
from reports.style import SERIES, axes_of, styled

_DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)))
"""Lines beyond the colours: every colour again, broken, then dotted."""
_PLAIN = {"label", "method", "bits", "wbits", "abits", "seed", "epoch", "step", "suite", "place", "last"}
"""Tags that say no switch of the method."""
_Curves = dict[str, dict[str, dict[int, float]]]
"""By what a reader calls the method, and by seed: epoch and share."""


@styled()
def oscillation(records: Sequence[Record]) -> Plot | None:
    """One panel per workload, one line per method: the mean over its seeds, and their range; None without records."""
    found: dict[str, list[Record]] = {}
    for r in select(records, "oscillating", node=""):
        found.setdefault(re.sub(r"(_w\d+a\d+)_[a-z]\w*$", r"\1", r.workload), []).append(r)
    panels = {name: _curves(rows) for name, rows in found.items()}
    panels = {name: curves for name, curves in panels.items() if _has_line(curves)}
    if not panels:
        return None
    labels = tuple(dict.fromkeys(label for curves in panels.values() for label in curves))
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(2.4 + 4.2 * columns, 0.9 + 3.1 * lines + 0.24 * -(-len(labels) // 3)))
    grid = axes_of(figure, lines, columns, sharey=True)
    for axes, (name, curves) in zip(grid, panels.items(), strict=False):
        axes.set_title(name)
        _panel(axes, curves, labels)
    grid[0].set_ylim(bottom=0)  # shared, so once all have drawn
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.supylabel("oscillating weights (%)", size=10.5)
    shown = {h.get_label(): h for axes in figure.axes for h in axes.get_legend_handles_labels()[0]}
    figure.legend(handles=[shown[label] for label in labels], loc="outside lower center", ncols=3)
    counts = sorted({len(seeds) for curves in panels.values() for seeds in curves.values()})
    return Plot(
        "Oscillation over training",
        "The share of all quantized weights that oscillate: the moving average, by 0.01 a step, of steps in which a weight's"
        " code flips against the direction of its last flip is above 0.005. Lines are means over"
        f" {' or '.join(map(str, counts))} seeds, areas reach from the least to the greatest of them.",
        figure,
        place=76,
    )


def _curves(rows: Sequence[Record]) -> _Curves:
    found: _Curves = {}
    for r in rows:
        found.setdefault(_label(r), {}).setdefault(r.tag("seed"), {})[_epoch(r)] = number(r)
    return found


def _has_line(curves: _Curves) -> bool:
    return any(len(curve) > 1 for seeds in curves.values() for curve in seeds.values())


def _label(record: Record) -> str:
    """The label of its suite; else the method with the switches that were set."""
    switches = [f"{key}={value}" for key, value in record.tags if key not in _PLAIN]
    return record.tag("label") or ", ".join([record.tag("method", "trained"), *switches])


def _epoch(record: Record) -> int:
    text = record.tag("epoch")
    if not (text.isascii() and text.isdigit()):
        raise BadFile(
            f"record {record.workload}/{record.metric}: the tag epoch must be an integer, got {text!r};"
            " write the records again with `hwsim train --log`"
        )
    return int(text)


def _panel(axes: Axes, curves: _Curves, labels: Sequence[str]) -> None:
    for label, seeds in curves.items():
        index = labels.index(label)
        colour, dashes = SERIES[index % len(SERIES)], _DASHES[index // len(SERIES) % len(_DASHES)]
        epochs = sorted(set.intersection(*(set(curve) for curve in seeds.values())))
        values = [[100 * curve[epoch] for curve in seeds.values()] for epoch in epochs]
        last = max(max(curve) for curve in seeds.values())
        places = [100 * epoch / last for epoch in epochs]
        axes.plot(places, [sum(v) / len(v) for v in values], linestyle=dashes, color=colour, label=label)
        if len(seeds) > 1:
            axes.fill_between(
                places, [min(v) for v in values], [max(v) for v in values], color=colour, alpha=0.15, linewidth=0
            )
    axes.set_xlim(0, 100)
    axes.set_xlabel("training (%)")
