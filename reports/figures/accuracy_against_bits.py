"""Accuracy of the float teacher, the fake-quant model and the integers, against bit width."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import Bits, bits, bits_label, number, select, workloads
from reports.style import BLUE, INK, MUTED, ORANGE, axes_of, styled


@dataclass(frozen=True, slots=True)
class _Kind:
    metric: str
    label: str
    marker: str
    colour: str
    shift: float


_FLOAT = _Kind("accuracy_float_teacher", "float teacher", "D", INK, 0)
_QUANTIZED = (
    _Kind("accuracy_fake_quant", "fake quant (float64)", "o", ORANGE, -0.17),
    _Kind("accuracy_integer", "integers", "s", BLUE, 0.17),
)


@styled()
def accuracy_against_bits(records: Sequence[Record]) -> Plot | None:
    """One panel per data set, the mixed form as it is on the test images; None where no accuracy of it was measured."""
    records = tuple(filter(_is_plain, records))
    rows = select(records, *(kind.metric for kind in (_FLOAT, *_QUANTIZED)))
    if not rows:
        return None
    families = tuple(dict.fromkeys(_family(name) for name in workloads(rows)))
    figure = Figure(figsize=(2.4 + 4 * len(families), 4.2))
    low = min(number(r) for r in rows)
    for axes, family in zip(axes_of(figure, 1, len(families), sharey=True), families, strict=True):
        axes.set_title(family)
        _panel(axes, [r for r in rows if _family(r.workload) == family])
        axes.set_ylim(100 * low - max(1.0, 18 * (1 - low)), 100 + max(0.4, 6 * (1 - low)))
    figure.axes[0].set_ylabel("top-1 accuracy (%)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    images = sorted({f"{number(r):,.0f}" for r in select(records, "images")})
    return Plot(
        "Accuracy against bit width",
        "Top-1 accuracy on the test images"
        + (f" ({', '.join(images)} of them)" if images else "")
        + "; the vertical axis does not start at zero. Integers and fake quant stand side by side at each bit width:"
        " equal codes give equal accuracy.",
        figure,
        place=62,
    )


def _is_plain(record: Record) -> bool:
    """Whether `record` is of the mixed form, without a what-if, on the test images."""
    plain = record.tag("form", "mixed") == "mixed" and not record.tag("what_if")
    return plain and record.tag("split", "test") == "test"


def _family(workload: str) -> str:
    return re.sub(r"_w\d+a\d+$", "", workload)


def _panel(axes: Axes, rows: Sequence[Record]) -> None:
    quantized = [r for r in rows if r.metric != _FLOAT.metric]
    widths: list[Bits] = sorted({bits(r) for r in quantized}, reverse=True)
    teachers = sorted({number(r) for r in select(rows, _FLOAT.metric)})
    for value in teachers:
        axes.axhline(100 * value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _points(axes, _FLOAT, [(0, value) for value in teachers])
    for kind in _QUANTIZED:
        _points(axes, kind, [(1 + widths.index(bits(r)), number(r)) for r in select(quantized, kind.metric)])
    axes.set_xticks(range(len(widths) + 1), ["float", *(bits_label(pair) for pair in widths)])
    axes.set_xlim(-0.5, len(widths) + 0.5)
    axes.grid(visible=False, axis="x")


def _points(axes: Axes, kind: _Kind, points: Sequence[tuple[float, float]]) -> None:
    xs, ys = [x + kind.shift for x, _ in points], [100 * y for _, y in points]
    axes.plot(xs, ys, kind.marker, color=kind.colour, label=kind.label, markersize=9)
    for x, y in zip(xs, ys, strict=True):
        axes.annotate(f"{y:.2f}", (x, y), (0, 8), textcoords="offset points", ha="center", va="bottom", size=9.5)
