"""Bars of FLOPs reduction at the lowest audited bit width, with the claims as lines across."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hwsim.record import Record
from reports.plot import Plot
from reports.ratios import claimed, distinct, reading_label, readings
from reports.rows import bits, bits_label, label, number, select, workloads
from reports.style import RED, SERIES, axes_of, styled

_COLOURS = tuple(colour for colour in SERIES if colour != RED)


@styled()
def flops_reduction(records: Sequence[Record]) -> Plot | None:
    """One bar per model and reading; None where no FLOPs reduction was audited."""
    audited = select(records, "flops_reduction")
    if not audited:
        return None
    pair = min(bits(r) for r in audited)
    rows = distinct(r for r in (*audited, *select(records, "theoretical_speedup")) if bits(r) == pair)
    known = workloads(records)
    names = sorted(workloads(rows), key=known.index)
    conventions = readings(rows)
    figure = Figure(figsize=(9.6, 1.3 + 0.27 * (len(rows) + len(names)) + 0.25 * len(conventions)))
    axes = axes_of(figure)[0]
    y, ticks = 0.0, []
    for name in names:
        bars = sorted((r for r in rows if r.workload == name), key=lambda r: conventions.index(r.tag("convention")))
        ticks.append(y + (len(bars) - 1) / 2)
        for row in bars:
            axes.barh(y, number(row), 0.86, color=_colour(conventions, row))
            entries = f"{row.tag('full_precision')} / {row.tag('quantized')}" if row.tag("quantized") else ""
            axes.annotate(
                f"{number(row):.2f}x" + (f"  = {entries}" if entries else ""),
                (number(row), y),
                (5, 0),
                textcoords="offset points",
                va="center",
                size=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
            y += 1
        y += 0.8
    marks = {mark: r.tag("printed") for r in audited if bits(r) == pair and (mark := claimed(r)) is not None}
    for mark, printed in marks.items():
        axes.axvline(mark, color=RED, linewidth=2, zorder=0.9)
        axes.annotate(
            f"claimed: {printed}x",
            (mark, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=RED,
            ha="center",
            va="bottom",
        )
    axes.set_yticks(ticks, [label(name, records) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    axes.set_xlim(0, max(number(r) for r in rows) * 1.28)
    axes.set_xlabel(f"operations at full precision / operations at {bits_label(pair)}")
    handles = [
        Patch(color=_COLOURS[i % len(_COLOURS)], label=reading_label(c, rows)) for i, c in enumerate(conventions)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2 if len(handles) > 3 else 1)
    return Plot(
        f"FLOPs reduction at {bits_label(pair)}",
        "Each bar is one reading of the same ratio, with its two entries in units of 1e9 operations. Red"
        " line: the claimed"
        " figure, quoted without a model or a convention; readings with rounded entries are inferred. Where a quantized"
        " entry rounds to 0.1 or 0.2, the last digit alone decides the ratio.",
        figure,
        place=14,
    )


def _colour(conventions: tuple[str, ...], row: Record) -> str:
    return _COLOURS[conventions.index(row.tag("convention")) % len(_COLOURS)]
