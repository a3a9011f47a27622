"""The scales that training arrived at, layer by layer."""

import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import bits, bits_label, number, select
from reports.style import MARKERS, SERIES, axes_of, logarithmic, styled
from reports.trainings import legend_columns, model_of

KINDS = {"weights": r"\.weight_quantizer$", "inputs of layers": r"\.input_quantizer$", "operands of attention": ""}
"""Which quantizers stand in which panel: the first pattern that their name has."""
MOST = 6


@styled()
def learned_scales(records: Sequence[Record]) -> Plot | None:
    """One panel per kind of quantizer, one series per method, at the narrowest width; None where no scale was kept."""
    rows = [r for r in select(records, "scale") if r.tag("label") and bits(r) != (32, 32)]
    if not rows:
        return None
    narrow = min(bits(r) for r in rows)
    model = model_of(rows[0])
    rows = sorted((r for r in rows if bits(r) == narrow and model_of(r) == model), key=_place)
    labels = tuple(dict.fromkeys(r.tag("label") for r in rows))[:MOST]
    nodes = tuple(dict.fromkeys(r.node for r in rows))
    panels = {kind: [node for node in nodes if _kind(node) == kind] for kind in KINDS}
    panels = {kind: own for kind, own in panels.items() if own}
    figure = Figure(figsize=(10.8, 0.8 + 2.6 * len(panels)))
    for axes, (kind, own) in zip(axes_of(figure, len(panels), 1), panels.items(), strict=True):
        axes.set_title(f"{kind}, {bits_label(narrow)}")
        _panel(axes, rows, own, labels)
    handles, known = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, known, loc="outside lower center", ncols=legend_columns(known))
    return Plot(
        "Learned scales per layer",
        "Steps of the grids after training, on a logarithmic axis: the mean over channels or heads where a quantizer has"
        " several scales, and over seeds. The first and the last layer have 8 bits. The axis names block and layer; qk.a"
        " is q, qk.b is k, av.a the softmax output, av.b is v.",
        figure,
        place=75,
    )


def _place(record: Record) -> tuple[int, str]:
    text = record.tag("place")
    return len(text), text


def _kind(node: str) -> str:
    return next(kind for kind, pattern in KINDS.items() if re.search(pattern, node))


def _panel(axes: Axes, rows: Sequence[Record], nodes: Sequence[str], labels: Sequence[str]) -> None:
    for index, label in enumerate(labels):
        values: dict[str, list[float]] = {}
        for r in rows:
            if r.tag("label") == label and r.node in nodes:
                values.setdefault(r.node, []).append(number(r))
        shift = 0.1 * (index - (len(labels) - 1) / 2)
        xs = [nodes.index(node) + shift for node in values]
        ys = [max(sum(found) / len(found), 1e-12) for found in values.values()]
        colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        axes.plot(xs, ys, marker, color=colour, markersize=5, label=label)
    logarithmic(axes, "y")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.set_xticks(range(len(nodes)), [_short(node) for node in nodes], rotation=60, ha="right", size=8)
    axes.set_xlim(-0.7, len(nodes) - 0.3)


def _short(node: str) -> str:
    """`0.mlp.fc1` of `blocks.0.mlp.fc1.weight_quantizer`."""
    node = re.sub(r"\.(weight|input)_quantizer$", "", node)
    node = node.replace("patch_embed.proj", "patches")
    node = re.sub(r"\.([ab])_quantizer$", r".\1", node)
    return re.sub(r"\b(blocks|layers|attn|mlp)\.", "", node)[:24]
