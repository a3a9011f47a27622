"""Tornado: how far each option of a convention alone moves a speedup, and what other counting rules say."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.record import Record
from reports.plot import Plot
from reports.ratios import claimed
from reports.rows import bits, bits_label, label, number, select
from reports.style import BLUE, MUTED, PAPER, RED, SHADES, axes_of, logarithmic, styled

_NAMES = {
    "model": "form of the model",
    "ends": "layers that are ends",
    "ends_bits": "width of the ends",
    "attention_on": "where attention products count",
    "attention_bits": "width of attention products",
    "flops_per_mac": "FLOPs per MAC",
    "elementwise": "elementwise work, as a set",
    "rounding": "rounding of the entries",
}
_KINDS = {"gelu": "GELU", "softmax": "softmax", "layernorm": "LayerNorm", "qk_norm": "norms on q and k"}
_RULE = "rule"
_WORDS: dict[str, Any] = {
    "textcoords": "offset points",
    "va": "center",
    "size": 9,
    "bbox": {"facecolor": PAPER, "edgecolor": "none", "pad": 1},
    "zorder": 3,
}
_LEAST = 0.002  # of the base: a bar of less would be a hair


@styled()
def convention_sensitivity(records: Sequence[Record]) -> Plot | None:
    """Of the first model and widths that there are records of; None where there are none."""
    found = select(records, "speedup_sensitivity")
    if not found:
        return None
    base = found[0]
    rows = [r for r in found if (r.workload, bits(r)) == (base.workload, bits(base))]
    options = _by_span([r for r in rows if r.node not in ("", _RULE)])
    shown = {name: values for name, values in options.items() if _span(values) >= _LEAST * number(base)}
    still = [_name(name) for name in options if name not in shown]
    rules = sorted((r for r in rows if r.node == _RULE), key=number)
    heights = 0.3 * len(rules) + 0.3, 0.4 * len(shown) + 0.3
    figure = Figure(figsize=(10.4, sum(heights) + 1.9))
    upper, lower = axes_of(figure, 2, 1, height_ratios=heights)
    _rules(upper, rules)
    for y, values in enumerate(shown.values()):
        _bar(lower, y, values, number(base))
    lower.set_yticks(range(len(shown)), [_name(name) for name in shown])
    lower.set_ylim(len(shown) - 0.4, -0.6)
    lower.set_xlim(*_room(rows, base))
    lower.set_title(f"One option of {base.tag('base')} at a time, from its {number(base):.2f}x")
    lower.set_xlabel("speedup (ratio of operations)")
    _frame(upper, lower, base)
    figure.legend(handles=_legend(base), loc="outside lower left", ncols=3)
    where = f"{label(base.workload, records)} {bits_label(bits(base))}"
    left = f" Options that hardly move it are left out: {', '.join(still)}." if still else ""
    return Plot(
        f"What a speedup of {where} depends on",
        f"Above: the speedup by each counting rule with its defaults. Below: every option of"
        f" {base.tag('base')} alone takes the values of the audit's grid, all others at their defaults; each dot is a value,"
        f" the ends of a bar are named.{left} Hollow: one side of the ratio counts what the other leaves out. All are ratios"
        " of counted operations, full precision over quantized, not measured times.",
        figure,
        place=16,
    )


def _by_span(rows: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each option from low to high, the option that moves the speedup most first."""
    options: dict[str, list[Record]] = {}
    for row in sorted(rows, key=number):
        options.setdefault(row.node, []).append(row)
    return dict(sorted(options.items(), key=lambda item: -_span(item[1])))


def _span(values: Sequence[Record]) -> float:
    return number(values[-1]) - number(values[0])


def _room(rows: Sequence[Record], base: Record) -> tuple[float, float]:
    """The range of the options' speedups, and of the claim, with room for words on both sides."""
    values = [number(r) for r in rows if r.node != _RULE]
    values += [mark for mark in (claimed(base),) if mark is not None]
    room = 0.27 * (max(values) - min(values)) or 1
    return min(values) - room, max(values) + room


def _name(option: str) -> str:
    group, _, kind = option.partition(".")
    if kind:
        return f"operations per element: {_KINDS.get(kind, kind)}"
    return _NAMES.get(group, group.replace("_", " "))


def _rules(axes: Axes, rules: Sequence[Record]) -> None:
    logarithmic(axes, "x", base=2)
    for y, row in enumerate(rules):
        _dot(axes, y, row)
        axes.annotate(f"{number(row):.2f}x", (number(row), y), (8, 0), **_WORDS, ha="left")
    axes.set_yticks(range(len(rules)), [row.tag("setting") for row in rules])
    axes.set_ylim(len(rules) - 0.4, -0.6)
    axes.margins(x=0.13)
    axes.set_title("Counting rules with their defaults, on a logarithmic axis")


def _bar(axes: Axes, y: float, values: Sequence[Record], base: float) -> None:
    low, high = values[0], values[-1]
    axes.barh(y, number(high) - number(low), 0.5, left=number(low), color=SHADES[0])
    for row in values:
        _dot(axes, y, row)
    for row, side in ((low, -1), (high, 1)):
        if number(row) != base:
            text = row.tag("setting").removeprefix("attention products ").removeprefix("ends: ").removeprefix("ends ")
            axes.annotate(text, (number(row), y), (7 * side, 0), **_WORDS, ha="left" if side > 0 else "right")


def _dot(axes: Axes, y: float, row: Record) -> None:
    differ = row.tag("sides") == "differ"
    axes.plot(number(row), y, "o", color=BLUE, markersize=6, markerfacecolor=PAPER if differ else BLUE, zorder=4)


def _frame(upper: Axes, lower: Axes, base: Record) -> None:
    """The base and the claim as lines across."""
    mark = claimed(base)
    for axes in (upper, lower):
        axes.axvline(number(base), color=MUTED, linewidth=1.2, zorder=1)
        if mark is not None:
            axes.axvline(mark, color=RED, linewidth=2, zorder=1)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)


def _legend(base: Record) -> list[Line2D]:
    hollow = Line2D([], [], color=BLUE, marker="o", linestyle="none", markersize=6, markerfacecolor=PAPER)
    hollow.set_label("counts some work on one side alone")
    lines = [Line2D([], [], color=MUTED, linewidth=1.2, label=f"{base.tag('base')}: {number(base):.2f}x"), hollow]
    if claimed(base) is not None:
        lines.insert(1, Line2D([], [], color=RED, linewidth=2, label=f"claimed: {base.tag('printed')}x"))
    return lines
