"""From the speedup on paper to that of the machine: one step for each thing that a count of operations leaves out."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hwsim.record import Record
from reports.estimates import BASELINES, PARTS, Case, arranged, cases, counted, elsewhere, ladder, on_paper, shown
from reports.plot import Plot
from reports.rows import label, number
from reports.style import BLUE, INK, MUTED, ORANGE, RED, axes_of, styled

_COLOURS = dict(zip(BASELINES, (BLUE, ORANGE), strict=True))
_STEPS = ("on paper", *(f"{'+ ' * (part != 'useful')}{words}" for part, words in PARTS.items()))
_THICK = 0.4
_LEAST = 0.005  # of the longest bar: a lesser change is not drawn
_FLOAT = (32, 32)


@styled()
def speedup_gap(records: Sequence[Record]) -> Plot | None:
    """One panel per accelerator and bit width of the first workload; None where no speedup was taken apart."""
    every = cases(records)
    found = {
        case: rows
        for case, rows in shown(every).items()
        if case.bits != _FLOAT and any(ladder(rows, over) for over in BASELINES)
    }
    if not found:
        return None
    grid = arranged(found)
    wide = len(grid[0])
    figure = Figure(figsize=(max(7.6, 1.5 + 3.0 * wide), 0.8 + 2.75 * len(grid)))
    panels = axes_of(figure, len(grid), wide)
    for index, (axes, case) in enumerate(zip(panels, (case for row in grid for case in row), strict=True)):
        if case is None:
            axes.set_visible(False)
            continue
        _panel(axes, case, found[case], [number(r) for r in on_paper(records, case)])
        if index % wide:
            axes.tick_params(labelleft=False)
        if index // wide == len(grid) - 1 or grid[index // wide + 1][index % wide] is None:
            axes.set_xlabel("speedup (x)")
    handles = [Patch(color=RED, label="on paper: a ratio of operations")]
    handles += [Patch(color=_COLOURS[over], label=f"over {words}, same array") for over, words in BASELINES.items()]
    handles.append(Patch(facecolor="none", edgecolor=MUTED, linestyle=":", label="lost (or won) at this step"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if wide > 1 else 2)
    first = next(iter(found))
    drawn = [case for row in grid for case in row if case]
    return Plot(
        "What is left of the speedup on paper",
        f"{label(first.workload, records)}, batch {first.batch}. Top: the theoretical speedup over float, a ratio of counted"
        f" operations{counted(records, drawn)}. Below it, what the model of the machine gives over"
        " the same array with float32 MACs and traffic, and over its own 8-bit form: first the ratio of useful cycles alone,"
        " then with one part of the cycles more in both at each step. The last bar is the ratio of all cycles. Dotted: what"
        " the step before gave. None is a measured time."
        f"{elsewhere(every, drawn, records)}",
        figure,
        place=72,
    )


def _panel(axes: Axes, case: Case, rows: Sequence[Record], paper: Sequence[float]) -> None:
    """The claim, and a pair of bars per step; the numbers stand beside the bars."""
    ladders = {over: steps for over in BASELINES if (steps := ladder(rows, over))}
    most = max([*paper[:1], *(max(steps) for steps in ladders.values())])
    if paper:
        axes.barh(0, paper[0], 2 * _THICK * 0.9, color=RED)
        _say(axes, max(paper[0], 0), 0, paper[0])
    for (over, steps), side in zip(ladders.items(), (-1, 1) if len(ladders) > 1 else (0,), strict=True):
        before = steps[0]
        for step, ratio in enumerate(steps, 1):
            y = step + side * _THICK / 2
            axes.barh(y, ratio, _THICK * 0.9, color=_COLOURS[over])
            if abs(before - ratio) > _LEAST * most:
                look: dict[str, Any] = {"facecolor": "none", "edgecolor": MUTED, "linestyle": ":", "zorder": 2}
                axes.barh(y, before - ratio, _THICK * 0.9, left=ratio, **look)
            _say(axes, max(ratio, before), y, ratio, bold=step == len(steps))
            before = ratio
    axes.set_yticks(range(len(_STEPS)), list(_STEPS))
    axes.set_ylim(len(PARTS) + 0.55, -0.55)
    axes.set_xlim(0, 1.2 * most)
    axes.axvline(1, color=INK, linewidth=0.8, zorder=2.5)
    axes.set_title(str(case), size=10)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _say(axes: Axes, x: float, y: float, ratio: float, bold: bool = False) -> None:
    axes.annotate(
        f"{ratio:.2f}x",
        (x, y),
        (4, 0),
        textcoords="offset points",
        va="center_baseline",
        size=8,
        weight="bold" if bold else "normal",
    )
