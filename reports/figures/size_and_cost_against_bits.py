"""Size, operations and bit operations of each model against bit width."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hwsim.record import Record
from reports.plot import Plot
from reports.prefixes import engineering
from reports.rows import Bits, bit_widths, bits_label, label, select, value_at, workloads
from reports.style import MARKERS, SERIES, axes_of, styled

_PANELS = (
    ("size_bidet", "Size of the weights", "B"),
    ("bireal_ladder", "Operations (OPs)", "OP"),
    ("bitops_wa", "Bit operations (BOPs)", "BOP"),
)


@styled()
def size_and_cost_against_bits(records: Sequence[Record]) -> Plot | None:
    """One line per model in up to three panels; None where none of the three was counted."""
    rows = tuple(r for r in select(records, *(metric for metric, _, _ in _PANELS), node="") if r.tag("wbits"))
    panels = [panel for panel in _PANELS if select(rows, panel[0])]
    if not panels:
        return None
    names, widths = workloads(rows), bit_widths(rows)
    figure = Figure(figsize=(1.2 + 3.2 * len(panels), 4.4))
    for axes, (metric, title, unit) in zip(axes_of(figure, 1, len(panels)), panels, strict=True):
        axes.set_title(title)
        _panel(axes, select(rows, metric), names, widths, metric, unit)
    looks = [_look(i) for i in range(len(names))]
    handles = [Line2D([], [], **look, label=label(n, records)) for n, look in zip(names, looks, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(names), 7))
    return Plot(
        "Size and cost against bit width",
        "Logarithmic axes. Size: 32 bits for each real-valued weight, b bits for each quantized one (size_bidet)."
        " OPs: full-precision operations plus 1/32, 1/16, 1/8 of the 2-, 3-, 4-bit multiplications (bireal_ladder on"
        " Swin's counting). BOPs: weight bits x activation bits for each MAC, float as 32 x 32 (bitops_wa)."
        " First and last"
        " layers stay at 8 bits, which flattens the lines towards the right.",
        figure,
        place=42,
    )


def _look(index: int) -> dict[str, Any]:
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[index % len(MARKERS)]}


def _panel(
    axes: Axes, rows: Sequence[Record], names: Sequence[str], widths: Sequence[Bits], metric: str, unit: str
) -> None:
    for i, name in enumerate(names):
        found = [(x, value_at(rows, name, metric, pair)) for x, pair in enumerate(widths)]
        points = [(x, value) for x, value in found if value]
        axes.plot([x for x, _ in points], [y for _, y in points], **_look(i), markersize=6)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: engineering(value, unit)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(range(len(widths)), [bits_label(pair) for pair in widths])
    axes.margins(x=0.08)
