"""Stacked bars: bit operations by group and by operand width, other actions by what they are for."""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from hwsim.record import Record
from reports.groups import COLOURS, DARK, OTHER, ordered_groups
from reports.plot import Plot
from reports.rows import Bits, bit_widths, bits, bits_label, label, number, select, workloads
from reports.style import (
    BLUE,
    GREEN,
    MUTED,
    ON_DARK,
    ON_LIGHT,
    ORANGE,
    PURPLE,
    RED,
    SERIES,
    SHADES,
    SKY,
    axes_of,
    styled,
)

_PURPOSES = {  # part of the model: what it is for; those of products are sums for zero points
    "layernorm": ("norms", GREEN),
    "qk_norm": ("norms", GREEN),
    "softmax": ("softmax", ORANGE),
    "gelu": ("GELU", RED),
    "quantize": ("conversions", BLUE),
    "dequantize": ("conversions", BLUE),
    "requantize": ("conversions", BLUE),
    "bias": ("bias, residual", SKY),
    "residual": ("bias, residual", SKY),
}
_SUMS, _REST = ("zero points", PURPLE), ("other", "#999977")
_PRODUCTS = tuple(COLOURS)


@styled()
def cost_breakdown(records: Sequence[Record]) -> Plot | None:
    """Three panels, one bar per model in each, at the width whose actions are known; None where they are not."""
    acted = select(records, "actions")
    if not acted:
        return None
    pair = bits(acted[0])
    acted = tuple(r for r in acted if bits(r) == pair)
    names = workloads(acted)
    by_group = {n: _nodes(r for r in _at(records, "bitops_wa", pair) if r.workload == n and r.node) for n in names}
    operands = tuple(r for r in select(records, "bitops_by_operands") if min(bits(r)) < 32)
    others = {n: _by_purpose([r for r in acted if r.workload == n and r.tag("action") != "mac"]) for n in names}
    groups = {group: COLOURS.get(group, OTHER) for group in ordered_groups(by_group)}
    purposes = dict([*_PURPOSES.values(), _SUMS, _REST])
    purposes = {name: colour for name, colour in purposes.items() if any(found.get(name) for found in others.values())}
    widths = _widths(operands)
    figure = Figure(figsize=(10.4, 2.3 + 0.42 * len(names)))
    panels, room = axes_of(figure, 1, 3, sharey=True), 0.85 / figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0, room, 1, 1 - room))
    for y, name in enumerate(names):
        _bar(panels[0], y, 0.72, by_group[name], groups, share=True)
        of_model = [r for r in operands if r.workload == name]
        shown = bit_widths(of_model)
        for i, narrow in enumerate(shown):
            thick = 0.72 / len(shown)
            at = y + (i - (len(shown) - 1) / 2) * thick
            _bar(panels[1], at, 0.86 * thick, _nodes(r for r in of_model if bits(r) == narrow), widths, share=True)
            panels[1].annotate(
                bits_label(narrow), (100, at), (3, 0), textcoords="offset points", va="center", size=7, color=MUTED
            )
        _bar(panels[2], y, 0.72, others[name], purposes, share=False)
    headings = ("BOPs by group (%)", "BOPs by operand bits (%)", "other actions (millions)")
    for axes, colours, heading in zip(panels, (groups, widths, purposes), headings, strict=True):
        axes.set_xlabel(heading)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        handles = [
            Patch(color=colour, label=name.replace("x", " x ") if name in widths else name)
            for name, colour in colours.items()
        ]
        below = blended_transform_factory(axes.transAxes, figure.transFigure)
        legend = axes.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, room),
            bbox_transform=below,
            ncols=3,
            fontsize=8.5,
            handlelength=1.4,
            columnspacing=1.2,
        )
        legend.set_in_layout(False)  # whatever the names, panels keep their size
    for axes in panels[:2]:
        axes.set_xlim(0, 100)
    panels[0].set_yticks(range(len(names)), [label(n, records) for n in names])
    panels[0].invert_yaxis()
    return Plot(
        "What the cost is made of",
        f"Left: bit operations (bitops_wa) of one image at {bits_label(pair)} by group of layers. Middle: the same by the"
        " bits of both operands, at each bit width: what the first and last layers, kept at 8 bits, weigh the more, the"
        f" narrower the others are. Right: every other primitive action at {bits_label(pair)}, most of them on floats of"
        " 32 bits, which a count of products does not see.",
        figure,
        place=34,
    )


def _bar(
    axes: Axes, y: float, thick: float, parts: Mapping[str, float], colours: Mapping[str, str], share: bool
) -> None:
    """One stacked bar: shares in percent, or millions."""
    scale, left = 100 / (sum(parts.values()) or 1.0) if share else 1e-6, 0.0
    for name, colour in colours.items():
        width = parts.get(name, 0) * scale
        axes.barh(y, width, thick, left=left, color=colour)
        if share and thick > 0.5 and width >= 5:
            ink = ON_DARK if name in DARK else ON_LIGHT
            axes.text(left + width / 2, y, f"{width:.0f}", color=ink, ha="center", va="center", size=8.5)
        left += width


def _at(records: Sequence[Record], metric: str, pair: Bits) -> tuple[Record, ...]:
    return tuple(r for r in select(records, metric) if r.tag("wbits") and bits(r) == pair)


def _nodes(rows: Iterable[Record]) -> dict[str, float]:
    return {r.node: number(r) for r in rows}


def _widths(rows: Sequence[Record]) -> dict[str, str]:
    """The colour of each pair of operand widths, narrow ones first."""
    found = sorted({r.node for r in rows}, key=lambda node: (len(node), node))
    shades = iter((*SHADES, *SERIES))
    return {node: ORANGE if node == "8x8" else next(shades) for node in found}


def _by_purpose(rows: Sequence[Record]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        name, _ = _PURPOSES.get(row.node, _SUMS if row.node in _PRODUCTS else _REST)
        found[name] = found.get(name, 0) + number(row)
    return found
