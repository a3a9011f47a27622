"""Draws systolic.png and systolic.gif beside this file: a GEMM of 8 x 4 x 4 on 4 x 4 PEs in all three dataflows.

Everything drawn was recorded by `hwsim.accel.stepped`. Run it with `python docs/figures/systolic.py [FOLDER]`.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from hwsim.accel.stepped import REAL, Stepped, run
from reports.style import BLUE, GREEN, INK, MUTED, ON_DARK, ORANGE, styled

SIZE = 4
A = np.arange(2 * SIZE * SIZE, dtype=np.uint8).reshape(2 * SIZE, SIZE)
B = A[:SIZE]
"""Codes that tell where they stand: SIZE * row + column."""
HELD, IDLE, SHADE = "#cfe3f1", "#f1f3f5", "#a6cde6"


class Row(NamedTuple):
    """One dataflow: how its moving codes tell the step of the stream (k, m or n), and the cycles of the picture."""

    dataflow: str
    column: bool  # whether the step is the code's column in its matrix, or its row
    cycles: tuple[int, ...]


ROWS = (
    Row("output_stationary", True, (0, 3, 5, 9, 12, 19)),
    Row("weight_stationary", False, (1, 4, 7, 10, 13, 17)),
    Row("input_stationary", True, (1, 7, 13, 15, 21, 27)),
)


def seen(row: Row) -> Stepped:
    """The recorded run of a dataflow."""
    return run(SIZE, SIZE, row.dataflow, A, B, record=True)


def draw_array(axes: Axes, row: Row, run_of: Stepped, cycle: int) -> None:
    """The PEs in one cycle: what they do, what enters, what leaves."""
    tape = run_of.tape
    assert tape is not None
    busy = (tape.across_tags & tape.down_tags & REAL)[cycle] > 0
    held = (tape.down_tags[cycle] & REAL > 0) & (row.dataflow != "output_stationary")
    for r, c in np.ndindex(SIZE, SIZE):
        colour = BLUE if busy[r, c] else HELD if held[r, c] else IDLE
        axes.add_patch(Rectangle((c + 0.05, r + 0.05), 0.9, 0.9, facecolor=colour, edgecolor=MUTED, linewidth=0.5))
        if busy[r, c]:
            step = int(tape.across[cycle, r, c]) % SIZE if row.column else int(tape.across[cycle, r, c]) // SIZE
            axes.text(c + 0.5, r + 0.53, str(step), color=ON_DARK, ha="center", va="center", fontsize=9)
    for r in np.flatnonzero(tape.left_tags[cycle] & REAL):
        axes.plot(-0.33, r + 0.5, marker=">", color=ORANGE, markersize=5.5)
    for c in np.flatnonzero(tape.top_tags[cycle] & REAL):
        axes.plot(c + 0.5, -0.33, marker="v", color=ORANGE, markersize=5.5)
    for c in np.flatnonzero(tape.leaving_tags[cycle] & REAL):
        axes.plot(c + 0.5, SIZE + 0.33, marker="v", color=GREEN, markersize=5.5)
    axes.set(xlim=(-0.7, SIZE + 0.2), ylim=(SIZE + 0.7, -0.7), aspect="equal")
    axes.set_axis_off()


def draw_busy(axes: Axes, run_of: Stepped, cycles: tuple[int, ...], until: int) -> None:
    """Busy PEs by cycle as bars; those of `cycles` dark, none after `until`."""
    shown = np.arange(min(run_of.cycles, until + 1))
    colours = [BLUE if cycle in cycles else SHADE for cycle in shown]
    axes.bar(shown, run_of.busy[: len(shown)], color=colours, width=0.82)
    axes.set(xlim=(-0.6, 27.6), ylim=(0, SIZE * SIZE), yticks=(0, 8, 16), xticks=(0, 9, 18, 27))
    axes.grid(visible=False, axis="x")


def legend(figure: Figure, columns: int) -> None:
    """What the colours and marks say."""
    marks = {"marker": "v", "linestyle": "", "markersize": 6}
    handles = [
        Patch(facecolor=BLUE, label="busy, with its step of the stream"),
        Patch(facecolor=HELD, edgecolor=MUTED, linewidth=0.5, label="holds its operand, waits"),
        Patch(facecolor=IDLE, edgecolor=MUTED, linewidth=0.5, label="idle"),
        Line2D([], [], color=ORANGE, label="codes enter", **marks),
        Line2D([], [], color=GREEN, label="results leave", **marks),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handletextpad=0.5, columnspacing=1.6)


@styled()
def picture() -> Figure:
    """Small multiples: a row per dataflow, the array in six cycles, and the busy PEs of all."""
    figure = Figure(figsize=(11.5, 6.3))
    grid = figure.subplots(len(ROWS), 7, width_ratios=(1, 1, 1, 1, 1, 1, 1.7), squeeze=False)
    for line, row in zip(grid, ROWS, strict=True):
        run_of = seen(row)
        for axes, cycle in zip(line, row.cycles, strict=False):
            draw_array(axes, row, run_of, cycle)
            axes.set_title(f"cycle {cycle}", fontsize=9.5, color=MUTED, loc="center", pad=2)
        name = row.dataflow.replace("_", " ")
        line[0].text(-1.1, SIZE / 2, name, rotation=90, ha="center", va="center", fontsize=10.5, color=INK)
        draw_busy(line[-1], run_of, row.cycles, run_of.cycles)
        share = run_of.macs / (run_of.cycles * SIZE * SIZE)
        line[-1].set_title(f"busy PEs: {share:.0%} in {run_of.cycles} cycles", fontsize=9.5, pad=4)
    grid[-1, -1].set_xlabel("cycle")
    legend(figure, 5)
    return figure


@styled()
def animation() -> tuple[Figure, FuncAnimation]:
    """The three arrays side by side, cycle by cycle, and the busy PEs so far."""
    figure = Figure(figsize=(7.2, 3.9))
    grid = figure.subplots(2, len(ROWS), height_ratios=(2.6, 1), squeeze=False)
    runs = [seen(row) for row in ROWS]

    def show(frame: int) -> list[Axes]:
        for (above, below), row, run_of in zip(grid.T, ROWS, runs, strict=True):
            above.clear()
            below.clear()
            cycle = min(frame, run_of.cycles - 1)
            draw_array(above, row, run_of, cycle)
            over = "done after" if frame >= run_of.cycles else "cycle"
            above.set_title(f"{row.dataflow.replace('_', ' ')}\n{over} {cycle}", fontsize=9.5, loc="center")
            draw_busy(below, run_of, (cycle,), frame)
        return list(grid.flat)

    legend(figure, 3)
    longest = max(run_of.cycles for run_of in runs)
    return figure, FuncAnimation(figure, show, frames=[*range(longest), *[longest] * 3])


def main(folder: Path) -> None:
    """Write both files to `folder`."""
    picture().savefig(folder / "systolic.png", dpi=140, metadata={"Software": None})
    _, moving = animation()
    moving.save(folder / "systolic.gif", writer=PillowWriter(fps=2), dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
