"""What the class token attends to on a digit, in the float model and in quantized ones."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from hwsim.record import Record
from reports.plot import Plot
from reports.rows import number, select
from reports.studies import tag_number
from reports.style import axes_of, styled
from reports.trainings import detailed


@styled()
def attention_maps(records: Sequence[Record]) -> Plot | None:
    """One row per image, the image first, then a map per run; None where no map was kept."""
    maps = detailed(records, "attention_share")
    pixels = detailed(records, "pixel")
    if not maps:
        return None
    images = sorted({r.tag("image") for rows in maps.values() for r in rows}, key=lambda text: (len(text), text))
    cells = {
        (run, image): _cells(select(rows, "attention_share", image=image))
        for run, rows in maps.items()
        for image in images
    }
    shown = {image: _cells(select(next(iter(pixels.values()), ()), "pixel", image=image)) for image in images}
    figure = Figure(figsize=(1.7 * (len(maps) + 1), 0.5 + 1.75 * len(images)))
    axes = axes_of(figure, len(images), len(maps) + 1)
    for row, image in enumerate(images):
        line = axes[row * (len(maps) + 1) : (row + 1) * (len(maps) + 1)]
        _draw(line[0], shown[image], "Greys", None)
        most = max(cells[run, image].max() for run in maps)
        for at, run in zip(line[1:], maps, strict=True):
            _draw(at, cells[run, image], "viridis", most)
            if not row:
                at.set_title(run, size=9.5, loc="center")
    axes[0].set_title("image", size=9.5, loc="center")
    return Plot(
        "What the class token attends to",
        "Last layer, mean over heads, one cell per patch: the share of its attention that each patch gets, before it is"
        " quantized; bright is much, colours follow its square root. One colour scale per image. Left: the image, mean per"
        " patch. One seed.",
        figure,
        place=74,
    )


def _cells(rows: Sequence[Record]) -> np.ndarray:
    """The values of `rows` by their tags row and column; where there is none, 0."""
    found = {tuple(int(tag_number(dict(r.tags), key)) for key in ("row", "column")): number(r) for r in rows}
    high, wide = (max((at[i] for at in found), default=0) + 1 for i in (0, 1))
    cells = np.zeros((high, wide))
    for at, value in found.items():
        cells[at] = value
    return cells


def _draw(axes: Axes, cells: np.ndarray, colours: str, most: float | None) -> None:
    if most is None:
        axes.pcolormesh(cells, cmap=colours)
    else:
        axes.pcolormesh(cells, cmap=colours, norm=PowerNorm(0.5, 0, max(most, 1e-12)))
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
