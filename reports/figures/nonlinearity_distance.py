"""The distance of each integer nonlinearity from its float function over the range of its input, one panel per family."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import number, select
from reports.studies import tag_number
from reports.style import INK, SERIES, axes_of, logarithmic, styled

_FLOOR = 1e-7
_FAMILIES = {
    "gelu": ("GELU", "input x", "distance"),
    "softmax": ("Softmax of two scores", "difference of the scores", "distance (probability)"),
    "layernorm": ("LayerNorm", "standard deviation of a row (codes)", "distance (standard deviations)"),
}
_WIDE: dict[str, Any] = {"linestyle": "-", "linewidth": 1.8}
_NARROW: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.1}


@styled()
def nonlinearity_distance(records: Sequence[Record]) -> Plot | None:
    """Two lines per operator, for its widest and its narrowest input; None where no curve was measured."""
    rows = [r for r in select(records, "distance_at") if r.tag("family")]
    if not rows:
        return None
    known = [family for family in _FAMILIES if any(r.tag("family") == family for r in rows)]
    families = tuple(dict.fromkeys([*known, *(r.tag("family") for r in rows)]))
    figure = Figure(figsize=(10.4, 0.9 + 3.0 * len(families)))
    for axes, family in zip(axes_of(figure, len(families)), families, strict=True):
        _panel(axes, family, [r for r in rows if r.tag("family") == family])
    return Plot(
        "Distance of integer nonlinearities from their float functions",
        "The largest distance near each place of the input, on a logarithmic axis, where 1e-7 and less stand at 1e-7. GELU:"
        " every code; softmax: two scores at every difference; LayerNorm: rows of 384 random channels. Rounding"
        " the input is no part of it, rounding the operator's own result is: to 16 bits, half a step of which is the floor of"
        " the tables, or to 4-bit log2 codes (logintsoftmax). Solid: the widest input codes that were tried and the"
        " operator takes; dashed: the narrowest.",
        figure,
        place=54,
    )


def _panel(axes: Axes, family: str, rows: Sequence[Record]) -> None:
    title, x_label, y_label = _FAMILIES.get(family, (family, "input", "distance"))
    handles = []
    for index, operator in enumerate(dict.fromkeys(r.node for r in rows)):
        colour = SERIES[index % len(SERIES)]
        own = [r for r in rows if r.node == operator]
        widths = sorted({tag_number(dict(r.tags), "bits") for r in own})
        for bits, line in {widths[-1]: _WIDE, widths[0]: _NARROW}.items():
            at = [r for r in own if tag_number(dict(r.tags), "bits") == bits]
            curve = sorted((tag_number(dict(r.tags), "x"), max(number(r), _FLOOR)) for r in at)
            axes.plot([x for x, _ in curve], [y for _, y in curve], color=colour, **line)
            handles.append(Line2D([], [], color=colour, **line, label=f"{operator}, {bits:g} bits"))
    axes.set_title(title)
    logarithmic(axes, "y")
    if family == "layernorm":
        logarithmic(axes, "x", base=2)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.margins(x=0.01)
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=INK)
