"""What the width of the residual stream costs: divergence from fake quant, and predictions that agree."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import label
from reports.studies import LEAST_KL, parted, points, tag_number
from reports.style import MARKERS, SERIES, axes_of, logarithmic, styled


@styled()
def residual_width(records: Sequence[Record]) -> Plot | None:
    """Two panels, one line per workload and recipe in each; None where no width was tried."""
    found = points(records, "residual_width")
    if not found:
        return None
    lines = parted(found, "recipe")
    figure = Figure(figsize=(10.4, 4.4))
    divergence, agreement = axes_of(figure, 1, 2)
    divergence.set_title("KL divergence from fake quant (nat)")
    agreement.set_title("Predictions that agree with fake quant (%)")
    for index, line in enumerate(lines.values()):
        ordered = sorted(line, key=lambda point: tag_number(point.tags, "residual_bits"))
        bits = [tag_number(point.tags, "residual_bits") for point in ordered]
        divergence.plot(bits, [max(point.kl_divergence, LEAST_KL) for point in ordered], **_look(index))
        agreement.plot(bits, [100 * point.agreement for point in ordered], **_look(index))
    logarithmic(divergence, "y")
    for axes in (divergence, agreement):
        axes.set_xlabel("bits of the residual stream")
        axes.set_xticks(sorted({tag_number(point.tags, "residual_bits") for point in found}))
    handles = [
        Line2D([], [], **_look(index), label=f"{label(workload, records)}, recipe {recipe}")
        for index, (workload, recipe) in enumerate(lines)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 3))
    return Plot(
        "Width of the residual stream",
        "The residual stream of the integer form is fixed point of this many bits, one scale for all that is added to it;"
        " everything else is as the recipe says. Left: mean KL divergence from the fake-quant model, whose residual is"
        " float, on a logarithmic axis. Right: the share of test images that both put into one class; the axis does not"
        " start at zero.",
        figure,
        place=52,
    )


def _look(index: int) -> dict[str, Any]:
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[index % len(MARKERS)]}
