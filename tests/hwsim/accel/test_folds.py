"""Closed forms against an array whose PEs are booked cycle by cycle, fold after fold, each as early as its PEs allow."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwsim.accel.dataflow import DATAFLOWS, gemm_cycles

SMALL = st.integers(1, 4)
FLAGS = st.booleans()


def enumerated(rows: int, cols: int, high: int, wide: int) -> Iterator[tuple[int, int, bool]]:
    """Height and width of each fold, and whether it is in the last row of folds."""
    for top, left in itertools.product(range(0, high, rows), range(0, wide, cols)):
        yield min(rows, high - top), min(cols, wide - left), top + rows >= high


class Array:
    """PEs by (row, column): the cycles in which they compute, and the first one of the fold that they last took in."""

    def __init__(self) -> None:
        self.busy: dict[tuple[int, int], set[int]] = {}
        self.first: dict[tuple[int, int], int] = {}
        self.port = self.end = 0

    def book(self, height: int, width: int, steps: int, loads: bool, shadow: bool, waits: bool) -> None:
        """Book one fold; `waits` for the end of the one before."""
        pes = list(itertools.product(range(height), range(width)))
        start = self.end if waits else 0
        if loads:
            load = max(self.port, 0 if shadow else start)
            while not all(self._may_load(pe, load + sum(pe), shadow) for pe in pes):
                load += 1
            self.port = load + height  # one value per column and cycle comes in, that of the lowest row first
            start = max(start, self.port)
        while any(self.busy.get(pe, set()) & self._stream(pe, start, steps) for pe in pes):
            start += 1
        for pe in pes:
            stream = self._stream(pe, start, steps)
            self.busy.setdefault(pe, set()).update(stream)
            self.first[pe] = min(stream)
            self.end = max(self.end, max(stream) + 1)

    def _may_load(self, pe: tuple[int, int], begin: int, shadow: bool) -> bool:
        """Whether values may pass through a PE, or stay there, from cycle `begin` on."""
        return begin >= self.first.get(pe, 0) if shadow else begin > max(self.busy.get(pe, {-1}))

    @staticmethod
    def _stream(pe: tuple[int, int], start: int, steps: int) -> set[int]:
        return set(range(start + sum(pe), start + sum(pe) + steps))


@given(
    sizes=st.tuples(SMALL, SMALL, st.integers(1, 12), st.integers(1, 9), st.integers(1, 9)),
    dataflow=st.sampled_from(tuple(DATAFLOWS)),
    shadow=FLAGS,
    pipelined=FLAGS,
    accumulators=FLAGS,
    edges=FLAGS,
)
@example((4, 4, 5, 5, 1), "output_stationary", False, True, False, True)  # the last fold is not the last to end
@example((4, 4, 9, 9, 1), "weight_stationary", True, True, False, True)  # loads that a short stream does not hide
@example((4, 4, 1, 1, 1), "output_stationary", False, True, False, True)  # one fold, lower and narrower than the array
@example((4, 4, 9, 2, 1), "output_stationary", False, True, False, True)  # all folds are at the edge
@example((4, 4, 2, 9, 1), "input_stationary", True, False, True, True)  # the first load is at its true size
@settings(max_examples=300)
def test_every_fold_enumerated(
    sizes: tuple[int, ...], dataflow: str, shadow: bool, pipelined: bool, accumulators: bool, edges: bool
) -> None:
    rows, cols, high, wide, steps = sizes
    gemm = dict(zip(DATAFLOWS[dataflow], (high, wide, steps), strict=True))
    result = gemm_cycles(
        rows,
        cols,
        dataflow,
        **gemm,
        shadow_registers=shadow,
        back_to_back=pipelined,
        accumulators=accumulators,
        true_edges=edges,
    )
    loads = dataflow != "output_stationary"
    array, folds, idle = Array(), 0, 0
    streamed = stayed = across = written = 0
    for height, width, last in enumerated(rows, cols, high, wide):
        booked = (height, width) if edges else (rows, cols)
        array.book(*booked, steps, loads, shadow, waits=not pipelined)
        folds += 1
        idle += steps * (rows * cols - height * width)
        streamed += steps * height
        across += steps * width
        stayed += height * width
        written += steps * width if last or not accumulators else 0
    assert (result.folds, result.cycles) == (folds, array.end)
    words = {
        "output_stationary": (streamed, across, stayed),
        "weight_stationary": (streamed, stayed, written),
        "input_stationary": (stayed, streamed, written),
    }
    assert (result.activation_reads, result.weight_reads, result.output_writes) == words[dataflow]
    assert (result.useful_pe_cycles, result.mapping_pe_cycles) == (high * wide * steps, idle)
    assert result.fill_pe_cycles == array.end * rows * cols - idle - high * wide * steps >= 0


def pipelined(dataflow: str, shadow: bool, steps: int) -> int:
    """Back to back, 3 x 2 folds of `steps` cycles on 4 x 8 PEs."""
    gemm = dict(zip(DATAFLOWS[dataflow], (12, 16, steps), strict=True))
    return int(gemm_cycles(4, 8, dataflow, **gemm, shadow_registers=shadow, back_to_back=True).cycles)


@pytest.mark.parametrize("steps", [1, 3, 4, 50])
def test_equal_folds_back_to_back(steps: int) -> None:
    """The forms that the module prints, with F = 6, R = 4, C = 8."""
    assert pipelined("output_stationary", False, steps) == 6 * steps + 4 + 8 - 2
    assert pipelined("output_stationary", True, steps) == 6 * steps + 4 + 8 - 2
    for dataflow in ("weight_stationary", "input_stationary"):
        assert pipelined(dataflow, False, steps) == 6 * (steps + 4) + 4 + 8 - 2
        assert pipelined(dataflow, True, steps) == 4 + 5 * max(steps, 4) + steps + 4 + 8 - 2
