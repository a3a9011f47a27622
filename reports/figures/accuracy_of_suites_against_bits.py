"""Accuracy and distance from the teacher against bit width, for the methods of a suite that have several widths."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import Bits, bits_label
from reports.style import MARKERS, MUTED, SERIES, axes_of, styled
from reports.trainings import Group, groups, legend_columns, seeds

FLOAT = (32, 32)


@styled()
def accuracy_of_suites_against_bits(records: Sequence[Record]) -> Plot | None:
    """Two panels, a line per model and method; None where no method was trained at two widths."""
    found = groups(records, "run_accuracy", split="test")
    lines = _lines(found)
    if not lines:
        return None
    figure = Figure(figsize=(9.6, 4.0))
    accuracy, divergence = axes_of(figure, 1, 2)
    accuracy.set_title("test accuracy (%)")
    divergence.set_title("KL divergence from the teacher (nat)")
    _draw(accuracy, found, lines, 100.0)
    _draw(divergence, groups(records, "run_kl_divergence"), lines, 1.0)
    divergence.set_ylim(bottom=0)
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return Plot(
        "Trained at fewer bits",
        f"Means over {seeds(found)} and their standard deviation, dots the single runs; dashed: the float model, trained on"
        " by the same budget. The axis of the accuracy does not start at zero.",
        figure,
        place=72,
    )


def _lines(found: Sequence[Group]) -> tuple[tuple[str, str], ...]:
    """Model and method of each line: those with two widths or more."""
    widths: dict[tuple[str, str], set[Bits]] = {}
    for group in found:
        if group.bits != FLOAT:
            widths.setdefault((group.model, group.label), set()).add(group.bits)
    return tuple(key for key, known in widths.items() if len(known) > 1)


def _draw(axes: Axes, found: Sequence[Group], lines: Sequence[tuple[str, str]], factor: float) -> None:
    widths = sorted({group.bits for group in found if (group.model, group.label) in lines}, reverse=True)
    for group in found:
        if group.bits == FLOAT:
            axes.axhline(factor * group.mean, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=group.label)
    for index, line in enumerate(lines):
        own = [group for group in found if (group.model, group.label) == line and group.bits in widths]
        own.sort(key=lambda group: widths.index(group.bits))
        shift = 0.12 * (index - (len(lines) - 1) / 2)
        xs = [widths.index(group.bits) + shift for group in own]
        means, spreads = [factor * group.mean for group in own], [factor * group.spread for group in own]
        colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        axes.errorbar(xs, means, spreads, capsize=3, label=line[1], color=colour, marker=marker)
        for x, group in zip(xs, own, strict=True):
            axes.plot([x] * len(group.values), [factor * v for v in group.values], ".", color=colour, markersize=4)
    axes.set_xticks(range(len(widths)), [bits_label(pair) for pair in widths])
    axes.set_xlim(-0.4, len(widths) - 0.6)
    axes.grid(visible=False, axis="x")
