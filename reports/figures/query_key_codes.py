"""Values of q and k before and after rectification, and the codes that quantization makes of them."""

from collections.abc import Sequence
from math import log2

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import number, select
from reports.studies import tag_number
from reports.style import BLUE, INK, MUTED, ORANGE, axes_of, styled
from reports.trainings import detailed

OPERANDS = ("q", "k")


@styled()
def query_key_codes(records: Sequence[Record]) -> Plot | None:
    """Two panels per operand and run: densities, and shares of the codes; None where no codes were counted."""
    codes, values = detailed(records, "code_share"), detailed(records, "histogram")
    runs = [name for name in codes if name in values]
    if not runs:
        return None
    figure = Figure(figsize=(11.0, 0.9 + 1.7 * len(runs)))
    axes = axes_of(figure, len(runs), 4, width_ratios=(2.2, 1, 2.2, 1))
    for row, run in enumerate(runs):
        for column, operand in enumerate(OPERANDS):
            left, right = axes[4 * row + 2 * column], axes[4 * row + 2 * column + 1]
            own = select(codes[run], "code_share", operand=operand)
            _density(left, select(values[run], "histogram", operand=operand), own)
            _shares(right, own)
            left.set_title(f"{operand}: {run}", size=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return Plot(
        "What quantization makes of q and k",
        "Wide panels: density of the values of q and k, as they leave the linear layer and as they reach the quantizer,"
        " which are the same without rectification (IRM); lines mark what each code stands for. Narrow panels: the share of"
        " each code, in bit the entropy of these shares. Head 0 of the last layer, all test images, one seed.",
        figure,
        place=73,
    )


def _density(axes: Axes, rows: Sequence[Record], codes: Sequence[Record]) -> None:
    for stage, colour, label in (("before", MUTED, "as computed"), ("after", BLUE, "as quantized")):
        own = sorted(select(rows, "histogram", stage=stage), key=lambda r: tag_number(dict(r.tags), "x"))
        xs = [tag_number(dict(r.tags), "x") for r in own]
        ys = [number(r) / max(tag_number(dict(r.tags), "width"), 1e-12) for r in own]
        if stage == "after":
            axes.fill_between(xs, ys, color=colour, alpha=0.35, linewidth=0, label=label)
        else:
            axes.plot(xs, ys, color=colour, linewidth=1.3, label=label)
    for i, r in enumerate(codes):
        axes.axvline(tag_number(dict(r.tags), "x"), color=ORANGE, linewidth=1.2, label="" if i else "meaning of a code")
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.grid(visible=False)


def _shares(axes: Axes, codes: Sequence[Record]) -> None:
    shares = {int(tag_number(dict(r.tags), "code")): number(r) for r in codes}
    ordered = sorted(shares)
    axes.bar(range(len(ordered)), [100 * shares[code] for code in ordered], color=ORANGE, width=0.7)
    axes.set_xticks(range(len(ordered)), [str(code) for code in ordered], size=8)
    axes.set_ylim(0, 100)
    axes.set_title(f"{_entropy(list(shares.values())):.2f} bit", size=10, color=INK)
    axes.set_ylabel("%", labelpad=0)
    axes.grid(visible=False, axis="x")


def _entropy(shares: Sequence[float]) -> float:
    """In bit."""
    return -sum(share * log2(share) for share in shares if share > 0) + 0.0
