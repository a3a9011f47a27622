"""The one style of all figures, and saving: PNG and SVG are byte for byte the same each time.

Colours are those of Okabe and Ito (2008), told apart with any colour vision; `INK`, `MUTED`, `GRID` and `PAPER` are
used for nothing but text, lines and background, so that the HTML report can swap them in a dark theme.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hwsim.files import write_bytes

INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#d5dae0", "#ffffff"
ON_DARK, ON_LIGHT = "#fffffe", "#101418"  # text on a coloured area: the same in either theme
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
SERIES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
SHADES = ("#a6cde6", "#4a98c9", "#17609f")  # one hue, light to dark, for a quantity that is ordered
PNG_DPI = 160

_RC: Any = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 10.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "text.color": INK,
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 7,
    "svg.hashsalt": "hwsim",
    "svg.fonttype": "path",
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib in this style, whatever the user's own settings; they come back afterwards. Also a decorator."""
    with mpl.rc_context():
        mpl.rcdefaults()
        with mpl.rc_context(_RC):
            yield


def axes_of(figure: Figure, rows: int = 1, columns: int = 1, **options: Any) -> list[Axes]:
    """The axes of a grid of `rows` x `columns` in `figure`, row by row."""
    return list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def logarithmic(axes: Axes, *which: str, base: int = 10) -> None:
    """Make the axes `which` ("x", "y") logarithmic, with plain numbers at the powers of `base`: `0.01`, `1e-5`."""
    for name in which:
        getattr(axes, f"set_{name}scale")("log", base=base)
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
        axis.set_minor_formatter(NullFormatter())


@styled()
def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write `figure` to `folder/name.png` and `folder/name.svg`, each whole or not at all; raises BadFile."""
    paths = folder / f"{name}.png", folder / f"{name}.svg"
    write_bytes(_rendered(figure, "png", {"Software": None}), paths[0])
    write_bytes(_rendered(figure, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None}), paths[1])
    return paths


def _rendered(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=PNG_DPI, metadata=metadata)
    return buffer.getvalue()


def _plain(value: float) -> str:
    if value >= 0.001:
        return f"{value:g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
