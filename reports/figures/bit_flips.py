"""What soft errors cost: accuracy and divergence against the rate at which a bit of codes or accumulators flips."""

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
def bit_flips(records: Sequence[Record]) -> Plot | None:
    """A column of two panels per workload, one line per kind of value and bit; None where no bit was flipped."""
    found = points(records, "bit_flips")
    if not found:
        return None
    lines = parted(found, "target", "bit")
    names = tuple(dict.fromkeys(point.workload for point in found))
    kinds = tuple(dict.fromkeys(key[1:] for key in lines))
    figure = Figure(figsize=(2.2 + 4.1 * len(names), 6.6))
    panels = axes_of(figure, 2, len(names), sharex=True, sharey="row")
    for column, name in enumerate(names):
        accuracy, divergence = panels[column], panels[column + len(names)]
        accuracy.set_title(label(name, records))
        for (workload, *kind), line in lines.items():
            if workload == name:
                look = _look(kinds.index(tuple(kind)))
                ordered = sorted(line, key=lambda point: tag_number(point.tags, "rate"))
                rates = [tag_number(point.tags, "rate") for point in ordered]
                accuracy.plot(rates, [100 * point.accuracy for point in ordered], **look)
                divergence.plot(rates, [max(point.kl_divergence, LEAST_KL) for point in ordered], **look)
        logarithmic(divergence, "x", "y")
        divergence.set_xlabel("probability of a flip, per value")
    panels[0].set_ylabel("top-1 accuracy (%)")
    panels[0].set_ylim(0, 103)
    panels[len(names)].set_ylabel("KL divergence (nat)")
    handles = [
        Line2D([], [], **_look(i), label=", ".join(word for word in kind if word)) for i, kind in enumerate(kinds)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
    return Plot(
        "Accuracy and divergence against the rate of bit flips",
        "In every block one bit of each value at fc1 flips with this probability: of the codes that it reads, or of the"
        " accumulators that it makes; msb is the highest bit, lsb the lowest. Above: accuracy of the mixed form; below: mean"
        " KL divergence from the same model without flips, both axes logarithmic. Which values are hit is fixed by a seed.",
        figure,
        place=58,
    )


def _look(index: int) -> dict[str, Any]:
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[index % len(MARKERS)]}
