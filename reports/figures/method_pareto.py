"""Post-training methods by what they cost and how far they are from the float model, those that no other beats in front."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.plot import Plot
from reports.prefixes import engineering
from reports.rivals import FLOAT, Key, found, styles
from reports.rows import LEAST_NATS, bits_label, label, select
from reports.style import MUTED, ON_LIGHT, axes_of, logarithmic, styled
from reports.trainings import Group, legend_columns, seeds

Point = tuple[float, float, Key]
"""Cost, divergence, and whose they are."""


@styled()
def method_pareto(records: Sequence[Record]) -> Plot | None:
    """Two panels, operations and size along x; None where no methods were compared."""
    divergence = {key: group for key, group in found(records, "method_kl_divergence").items() if key[1] != FLOAT}
    costs = {"operations of one image": "method_operations", "stored bytes": "method_size"}
    panels = {title: _points(divergence, found(records, metric)) for title, metric in costs.items()}
    panels = {title: points for title, points in panels.items() if points}
    if not panels:
        return None
    figure = Figure(figsize=(4.9 * len(panels) + 0.6, 5.2))
    looks = styles(key[2] for key in divergence)
    several = len({key[0] for key in divergence}) > 1
    for axes, (title, points) in zip(axes_of(figure, 1, len(panels), sharey=True), panels.items(), strict=True):
        axes.set_title(title)
        _draw(axes, points, looks, several)
    figure.axes[0].set_ylabel("KL divergence from the float model (nat)")
    handles = [Line2D([], [], linestyle="none", color=c, marker=m, label=name) for name, (c, m) in looks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(list(looks)))
    rule = ", ".join(
        dict.fromkeys(r.tag("convention") for r in select(records, "method_operations") if r.tag("convention"))
    )
    return Plot(
        "Post-training methods: what a distance from the float model costs",
        f"Full, and joined by a line: methods and widths that no other beats in both; pale: those that are beaten. Means over"
        f" {seeds(divergence.values())}. Less is better on both axes. Operations by {rule}; size with scales and zero points."
        " Methods of one width differ in size by their scales alone, and in operations not at all unless their layers have"
        " widths of their own.",
        figure,
        place=77,
    )


def _points(divergence: Mapping[Key, Group], cost: Mapping[Key, Group]) -> list[Point]:
    return [(cost[key].mean, max(group.mean, LEAST_NATS), key) for key, group in divergence.items() if key in cost]


def _draw(axes: Axes, points: Sequence[Point], looks: Mapping[str, tuple[str, str]], several: bool) -> None:
    ahead = _front(points)
    axes.plot(
        [x for x, _, _ in ahead], [y for _, y, _ in ahead], color=MUTED, linewidth=1.1, drawstyle="steps-post", zorder=1
    )
    for point in points:
        (x, y, key), best = point, point in ahead
        colour, marker = looks[key[2]]
        axes.plot(
            x,
            y,
            linestyle="none",
            marker=marker,
            color=colour,
            alpha=1.0 if best else 0.35,
            markersize=8 if best else 6,
            markeredgecolor=ON_LIGHT if best else colour,
            markeredgewidth=0.6,
            zorder=3 if best else 2,
        )
    nearest = {(key[0], key[1]): (x, y) for x, y, key in ahead}  # of each width the last, for a label each
    for (model, width), at in nearest.items():
        text = f"{label(model, ())} {bits_label(width)}" if several else bits_label(width)
        axes.annotate(text, at, xytext=(7, 5), textcoords="offset points", size=8.5)
    logarithmic(axes, "x", "y")
    axes.margins(x=0.16)
    marks = sorted({x for x, _, _ in points})
    spread = [x for i, x in enumerate(marks) if i == 0 or x > 1.15 * marks[i - 1]]
    axes.set_xticks(spread, [engineering(x) for x in spread], rotation=30)
    axes.minorticks_off()
    axes.grid(visible=False, axis="x")


def _front(points: Sequence[Point]) -> list[Point]:
    """The points that no other is at least as good as in both, better in one: from cheap to near."""
    ahead: list[Point] = []
    for point in sorted(points, key=lambda p: p[:2]):
        if not ahead or point[1] < ahead[-1][1]:
            ahead.append(point)
    return ahead
