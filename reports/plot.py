"""Plot: a figure with the words that belong to it."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn `figure` with `title` and `caption` (what is seen, by which convention); `place` orders the report."""

    title: str
    caption: str
    figure: Figure
    place: int = 90
