"""The size of each model against bit width: what is really stored, stacked, beside two rules that published sizes follow."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import Bits, bit_widths, bits, bits_label, label, number, select, value_at, workloads
from reports.style import BLUE, GREEN, INK, MUTED, ORANGE, RED, SKY, axes_of, styled

_PARTS = (
    ("weights", ("weights",), BLUE),
    ("biases", ("biases",), SKY),
    ("norms", ("norms",), GREEN),
    ("tokens, positions", ("others",), ORANGE),
    ("scales, zero points", ("scale", "zero_point", "multiplier", "shift", "offset", "gain", "alpha", "table"), RED),
)
_LOOKS = (("size_simple", "_", "size_simple: all at b bits"), ("size_tervit", "D", "size_tervit: ends and rest at 8"))


@styled()
def size_with_overheads(records: Sequence[Record]) -> Plot | None:
    """One panel per model, one bar per width below float; None where nothing is known of what is stored."""
    stored = tuple(r for r in select(records, "stored_bytes") if min(bits(r)) < 32)
    names, widths = workloads(stored), bit_widths(stored)
    if not names:
        return None
    columns = min(len(names), 5)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(1.4 + 1.85 * columns, 0.9 + 2.7 * rows))
    panels = axes_of(figure, rows, columns)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, [r for r in stored if r.workload == name], records, name, widths)
        axes.set_title(label(name, records))
    panels[0].set_ylabel("stored (MB)")
    handles: list[Line2D | Patch] = [Patch(color=colour, label=what) for what, _, colour in _PARTS]
    handles += [Line2D([], [], color=INK, marker=mark, ls="", label=what) for _, mark, what in _LOOKS]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return Plot(
        "Model size with its overheads",
        "Bars: every byte that is stored, codes packed, everything else as floats of 32 bits (size_bidet is the bar without"
        " its red end). Above each bar, how much more that is than size_simple, the number of parameters times b / 8"
        " (PTQ-ViT's table, fitted). The first and last layers have 8 bits, weights a scale for each output channel.",
        figure,
        place=44,
    )


def _panel(axes: Axes, stored: Sequence[Record], records: Sequence[Record], name: str, widths: Sequence[Bits]) -> None:
    shown = [pair for pair in widths if any(bits(r) == pair for r in stored)]
    for x, pair in enumerate(shown):
        bottom = 0.0
        for _, kinds, colour in _PARTS:
            size = sum(number(r) for r in stored if bits(r) == pair and r.node in kinds) / 1e6
            axes.bar(x, size, 0.66, bottom=bottom, color=colour)
            bottom += size
        for metric, mark, _ in _LOOKS:
            value = value_at(records, name, metric, pair)
            if value:
                wide = 26 if mark == "_" else 5
                axes.plot(x, value / 1e6, marker=mark, ms=wide, mew=2 if mark == "_" else 0, color=INK, ls="")
        simple = value_at(records, name, "size_simple", pair)
        if simple:
            more = 100 * (bottom * 1e6 / simple - 1)
            axes.annotate(
                f"{more:+.0f} %", (x, bottom), (0, 4), textcoords="offset points", ha="center", size=9, color=MUTED
            )
    axes.set_xticks(range(len(shown)), [bits_label(pair) for pair in shown], size=9)
    axes.margins(y=0.12)
    axes.grid(visible=False, axis="x")
