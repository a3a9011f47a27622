"""Accuracy and distance from the float model against bit width, for post-training methods."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.record import Record
from reports.plot import Plot
from reports.rivals import FLOAT, Key, found, styles
from reports.rows import LEAST_NATS, Bits, bits_label, label
from reports.style import MUTED, axes_of, logarithmic, styled
from reports.trainings import Group, legend_columns, seeds


@styled()
def accuracy_against_bits_of_methods(records: Sequence[Record]) -> Plot | None:
    """Two panels, a line per model and method; None where no method was compared at two widths."""
    accuracy, divergence = found(records, "method_accuracy", split="test"), found(records, "method_kl_divergence")
    widths = list(dict.fromkeys(key[1] for key in accuracy if key[1] != FLOAT))
    if len(widths) < 2:
        return None
    figure = Figure(figsize=(10.2, 4.8))
    left, right = axes_of(figure, 1, 2)
    left.set_title("test accuracy (%)")
    right.set_title("KL divergence from the float model (nat)")
    _draw(left, accuracy, widths, 100.0)
    _draw(right, {key: group for key, group in divergence.items() if key[1] != FLOAT}, widths, 1.0, LEAST_NATS)
    logarithmic(right, "y")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return Plot(
        "Post-training methods at fewer bits",
        f"Means over {seeds([g for k, g in accuracy.items() if k[1] != FLOAT])} of calibration images, dots the single"
        " seeds; dashed: the float model. The axis of the accuracy does not start at zero, that of the divergence is"
        " logarithmic.",
        figure,
        place=78,
    )


def _draw(
    axes: Axes, groups: Mapping[Key, Group], widths: Sequence[Bits], factor: float, least: float | None = None
) -> None:
    several = len({key[0] for key in groups}) > 1
    looks = styles(_name(key, several) for key in groups if key[1] != FLOAT)
    for key, group in groups.items():
        if key[1] == FLOAT:
            name = _name(key, several)
            axes.axhline(factor * group.mean, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=name)
    for index, (name, (colour, marker)) in enumerate(looks.items()):
        own = [group for key, group in groups.items() if _name(key, several) == name and key[1] != FLOAT]
        shift = min(0.08, 0.6 / len(looks)) * (index - (len(looks) - 1) / 2)
        xs = [widths.index(group.bits) + shift for group in own]
        ys = [factor * group.mean for group in own]
        if least is not None:
            ys = [max(y, least) for y in ys]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=6, linewidth=1.3, label=name)
        for x, group in zip(xs, own, strict=True):
            values = [factor * value for value in group.values]
            values = values if least is None else [max(value, least) for value in values]
            axes.plot([x] * len(values), values, ".", color=colour, markersize=4)
    axes.set_xticks(range(len(widths)), [bits_label(pair) for pair in widths])
    axes.set_xlim(-0.5, len(widths) - 0.5)
    axes.grid(visible=False, axis="x")


def _name(key: Key, several: bool) -> str:
    return f"{label(key[0], ())} {key[2]}" if several else key[2]
