"""The share of codes that differ between integers and fake quant, at every node of the network in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import number, select, trials
from reports.style import BLUE, GRID, RED, axes_of, styled

_MODES = (("node_by_node", "node by node"), ("free_running", "free running"))
_NAMED = 24  # as many nodes can be named one by one under the axis; more are named by block


@dataclass(frozen=True, slots=True)
class _Dtype:
    name: str
    marker: str
    colour: str
    fill: str


_DTYPES = (_Dtype("float32", "D", RED, "none"), _Dtype("float64", "o", BLUE, "full"))


@dataclass(frozen=True, slots=True)
class _Series:
    nodes: tuple[str, ...]
    compared: tuple[float, ...]
    differ: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(d / c for d, c in zip(self.differ, self.compared, strict=True))


@styled()
def code_agreement(records: Sequence[Record]) -> Plot | None:
    """One panel per comparison and mode, float64 and float32 in each; None where no node was compared."""
    panels = [
        (comparison, mode, words, series)
        for comparison, rows in trials(select(records, "node_codes_compared", "node_codes_mismatched")).items()
        for mode, words in _MODES
        if (series := _all_series(rows, mode))
    ]
    if not panels:
        return None
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(11, 1.0 + 2.9 * rows))
    grid = axes_of(figure, rows, columns)
    top = max((share for *_, series in panels for s in series.values() for share in s.shares), default=0)
    finest = max(c for *_, series in panels for s in series.values() for c in s.compared)
    for axes, (comparison, _, words, series) in zip(grid, panels, strict=False):
        axes.set_title(f"{comparison}, {words}")
        _panel(axes, series, 1 / finest, top)
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.supylabel("share of codes that differ (symmetric-logarithmic)", size=10.5)
    shown = {h.get_label(): h for axes in grid[: len(panels)] for h in axes.get_legend_handles_labels()[0]}
    figure.legend(handles=list(shown.values()), loc="outside lower center", ncols=2)
    return Plot(
        "Agreement of codes, node by node",
        "Each point is one node of the network, in the order of execution: the share of its integer codes that differ"
        " from the fake-quant model's, which was run in float64 or in float32. Left: each node fed the"
        " fake-quant model's"
        " own codes; right: integers running freely from the image on, so that one difference spreads. The axis is"
        " symmetric-logarithmic, so zero has a place on it.",
        figure,
        place=64,
    )


def _all_series(records: Sequence[Record], mode: str) -> dict[_Dtype, _Series]:
    found = {}
    for dtype in _DTYPES:
        of = {
            metric: {r.node: number(r) for r in select(records, metric, mode=mode, dtype=dtype.name)}
            for metric in ("node_codes_compared", "node_codes_mismatched")
        }
        compared, differ = of["node_codes_compared"], of["node_codes_mismatched"]
        nodes = tuple(node for node in compared if compared[node] and node in differ)
        if nodes:
            found[dtype] = _Series(nodes, tuple(compared[n] for n in nodes), tuple(differ[n] for n in nodes))
    return found


def _panel(axes: Axes, series: dict[_Dtype, _Series], step: float, top: float) -> None:
    nodes = tuple(dict.fromkeys(node for s in series.values() for node in s.nodes))
    place = {node: x for x, node in enumerate(nodes)}
    for dtype, s in series.items():
        xs = [place[node] for node in s.nodes]
        look: dict[str, Any] = {
            "color": dtype.colour,
            "fillstyle": dtype.fill,
            "markersize": 6 if dtype.fill == "none" else 4,
        }
        axes.plot(xs, s.shares, dtype.marker, **look, label=f"against {dtype.name}", clip_on=False)
    _say(axes, series)
    ceiling = max(top, 3 * step)
    axes.set_yscale("symlog", linthresh=step)
    axes.set_ylim(-0.35 * step, ceiling * 3000)
    axes.set_yticks([0, *(10.0**e for e in range(-9, 1) if step <= 10.0**e <= 10 * ceiling)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    _name_nodes(axes, nodes)


def _say(axes: Axes, series: dict[_Dtype, _Series]) -> None:
    """Write into the head of the panel how many codes differ, which is all there is to see where none does."""
    lines: list[tuple[str, str, str]] = []
    for dtype, s in reversed(series.items()):
        differ, compared = sum(s.differ), sum(s.compared)
        lines.append((f"{dtype.name}: {differ:,.0f} of {compared:,.0f} codes differ", dtype.colour, "bold"))
        if differ:
            lines.append((f"largest share at {s.nodes[s.shares.index(max(s.shares))]}", dtype.colour, "normal"))
    for i, (text, colour, weight) in enumerate(lines):
        at = (0.02, 0.97 - 0.095 * i)
        said = axes.text(*at, text, transform=axes.transAxes, color=colour, va="top", size=9.5, weight=weight)
        said.set_in_layout(False)


def _name_nodes(axes: Axes, nodes: Sequence[str]) -> None:
    names = nodes if len(nodes) <= _NAMED else [_block(node) for node in nodes]
    starts = [x for x, name in enumerate(names) if x == 0 or names[x - 1] != name]
    for start in starts[1:]:
        axes.axvline(start - 0.5, color=GRID, linewidth=0.7, zorder=0.5)
    ticks: list[tuple[float, str]] = []
    for start, end in zip(starts, [*starts[1:], len(names)], strict=True):
        middle = (start + end - 1) / 2
        if ticks and middle - ticks[-1][0] < len(names) / 30:  # too near to stand beside each other
            ticks[-1] = (ticks[-1][0], f"{ticks[-1][1]}, {names[start]}")
        else:
            ticks.append((middle, names[start]))
    words = [name if len(name) <= 24 else f"{name[:11]}..{name[-11:]}" for _, name in ticks]
    axes.set_xticks([middle for middle, _ in ticks], words, rotation=35, ha="right", rotation_mode="anchor", size=8.5)
    axes.set_xlim(-0.8, len(nodes) - 0.2)
    axes.grid(visible=False, axis="x")


def _block(node: str) -> str:
    parts = node.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and parts[1].isdigit() else parts[0]
