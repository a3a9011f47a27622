"""Stacked bars: what the cycles of each group of layers are spent on, at each bit width, on each accelerator."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hwsim.record import Record
from reports.estimates import PARTS, arranged, cases, elsewhere, in_shares, layers, parts, shares, shown
from reports.plot import Plot
from reports.prefixes import engineering
from reports.rows import label
from reports.style import BLUE, GREEN, ON_DARK, ON_LIGHT, ORANGE, PURPLE, RED, SKY, axes_of, styled

_COLOURS = (BLUE, SKY, ORANGE, PURPLE, RED, GREEN)
_DARK = (BLUE, RED)  # their colour takes light text
_THICK = 0.78
_LEAST = 0.03  # of the width of a panel, for each panel in a row: a narrower segment has no room for its number
Split = tuple[float, ...]


@styled()
def cycles_split(records: Sequence[Record]) -> Plot | None:
    """One panel per accelerator and bit width of the first workload; None where no cycles were split."""
    every = cases(records)
    found = {case: (split, rows) for case, rows in shown(every).items() if (split := parts(rows))}
    if not found:
        return None
    bars = {case: {g: split for g in layers(rows) if (split := parts(rows, g))} for case, (_, rows) in found.items()}
    names = tuple(dict.fromkeys(group for groups in bars.values() for group in groups))
    grid = arranged(found)
    wide = len(grid[0])
    heights = (1, max(1, len(names)) + 1.2)
    figure = Figure(figsize=(max(7.6, 1.3 + 3.05 * wide), 0.6 + len(grid) * (0.45 + 0.25 * sum(heights))))
    panels = axes_of(figure, 2 * len(grid), wide, gridspec_kw={"height_ratios": heights * len(grid)})
    for row, line in enumerate(grid):
        for column, case in enumerate(line):
            upper, lower = (panels[(2 * row + half) * wide + column] for half in (0, 1))
            if case is None:
                upper.set_visible(False)
                lower.set_visible(False)
                continue
            split = found[case][0]
            upper.set_title(f"{case}\nall layers = 100 %: {engineering(sum(split))} cycles", size=10)
            _stacked(upper, 0, shares(split), 100 * _LEAST * wide)
            upper.set_xlim(0, 100)
            upper.axis("off")
            _panel(lower, bars[case], names, _LEAST * wide)
            lower.tick_params(labelleft=column == 0)
            if row == len(grid) - 1 or grid[row + 1][column] is None:
                lower.set_xlabel("million cycles")
    handles = [Patch(color=colour, label=words) for colour, words in zip(_COLOURS, PARTS.values(), strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles) if wide > 1 else 3)
    first = next(iter(found))
    drawn = [case for line in grid for case in line if case]
    return Plot(
        "Where the cycles go",
        f"{label(first.workload, records)}, batch {first.batch}: what the cycles of all layers, a bar as wide as the"
        " panel, and below of each group of layers, on the scale under them, are spent on. In the bars: percent of the bar."
        " Useful work: every PE"
        " at the rate that its scheme has at these bits; mapping loss: PEs that shapes leave idle; fill and drain of the"
        " array, or waiting for the slowest unit of a pipeline; SRAM port, DRAM: waiting for bytes; vector"
        f" unit: what of its work does not overlap with products.{in_shares(records, drawn)}"
        f"{elsewhere(every, drawn, records)}",
        figure,
        place=74,
    )


def _panel(axes: Axes, bars: dict[str, Split], names: Sequence[str], least: float) -> None:
    """One bar for each of `names`; a segment of less than `least` of the panel stays without a number."""
    room = 1.25 * max((sum(split) for split in bars.values()), default=0.0) / 1e6 or 1.0
    for y, name in enumerate(names):
        split = bars.get(name, ())
        if split:
            left = _stacked(axes, y, [cycles / 1e6 for cycles in split], least * room)
            said = engineering(sum(split))
            axes.annotate(said, (left, y), (4, 0), textcoords="offset points", va="center_baseline", size=8.5)
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, room)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _stacked(axes: Axes, y: int, widths: Sequence[float], least: float) -> float:
    """A bar of segments with their percent in them, unless they are narrower than `least`; returns where it ends."""
    left = 0.0
    for width, share, colour in zip(widths, shares(widths), _COLOURS, strict=True):
        axes.barh(y, width, _THICK, left=left, color=colour)
        if width >= least:
            ink, said = ON_DARK if colour in _DARK else ON_LIGHT, f"{share:.0f}"
            axes.text(left + width / 2, y, said, color=ink, ha="center", va="center_baseline", size=8)
        left += width
    return left
