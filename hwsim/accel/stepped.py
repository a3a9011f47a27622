"""A systolic array of R x C PEs, simulated register by register and cycle by cycle on real integer codes.

It is what the closed form (`hwsim/accel/dataflow.py`) is held against, so it knows no formula: it stops when the last
result has left the array, and its results are the GEMM's integers.

A PE has three registers: `across` takes the code of its left neighbour, `down` that of the neighbour above, `sums` a
partial sum. In every cycle all registers take their neighbours' old values at once, at the edges what is fed; then every
PE multiplies the two codes that it holds and adds. Codes carry tags, as hardware has valid bits: TOKEN (a place in the
stream), REAL (a code of the GEMM, not the padding of an edge fold), LAST (the end of the stream). A PE is busy in a cycle
if both its codes are real, so that busy PEs over all cycles are the MACs of the GEMM. In each fold, cycles count from 0.

- `output_stationary`: sums stay. Row r is fed a[m0 + r, k] in cycle k + r, column c is fed b[k, n0 + c] in cycle k + c,
  the skew by which both are at PE (r, c) in cycle k + r + c. A PE whose code is LAST puts its sum on the output line of
  its column in that same cycle and starts again from 0; the skew makes it one PE per column and cycle, row 0 first.
- `weight_stationary`: weights stay. In cycle t of the first R they shift in from above, b[k0 + R - 1 - t, n0 + c]. Then
  row r is fed a[m, k0 + r] in cycle R + m + r, and sums move down one row per cycle. The result of m leaves below column
  c in cycle R + m + R - 1 + c and is added, outside the array, to what earlier folds over K gave.
- `input_stationary`: the same machine on transposed operands: a stays, b moves, results leave in the order of n.

A fold begins in the cycle after the last result of the one before has left: nothing overlaps, no weight is loaded behind
a running fold. Edge folds run at R x C: their rows and columns without codes pass tokens and zeros, which take cycles but
are neither busy nor read nor written. Left out: memory (every code is there in its cycle) and the width of sums (int64).
The array is the textbook one (H. T. Kung, "Why systolic architectures?", 1982), padded folds in sequence are what
SCALE-Sim (arXiv 1811.02883) counts; the output line per column is our reading of its K + R + C - 2, which has no cycles
for sums that move out through the PEs.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.accel.dataflow import DATAFLOWS
from hwsim.catalog import unknown
from hwsim.errors import HwsimError
from hwsim.kernels.kernel import kernel

Codes = npt.NDArray[Any]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Tags = npt.NDArray[np.uint8]

DTYPES = ("int8", "uint8", "int16", "uint16")
TOKEN, REAL, LAST = 1, 2, 4


class Tape(NamedTuple):
    """The array in each of T cycles: what is fed, what the registers hold at the cycle's end, and what leaves."""

    left: Int32  # (T, R) codes fed at the left
    left_tags: Tags  # (T, R)
    top: Int32  # (T, C) codes fed at the top
    top_tags: Tags  # (T, C)
    across: Int32  # (T, R, C) codes that move right
    across_tags: Tags  # (T, R, C)
    down: Int32  # (T, R, C) codes from above, which move on or stay
    down_tags: Tags  # (T, R, C)
    sums: Int64  # (T, R, C) partial sums, 0 again after one that stayed has left
    leaving: Int64  # (T, C) sums on the column lines
    leaving_tags: Tags  # (T, C) REAL: a result of the GEMM; TOKEN alone: of the padding


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Stepped:
    """What was observed of one GEMM (M, K) x (K, N) on R x C PEs."""

    rows: int
    cols: int
    outputs: Int64  # (M, N)
    fold_cycles: Int64  # (folds,) of each, from its first cycle to the one in which its last result leaves
    busy: Int32  # (cycles,) PEs that do a MAC of the GEMM
    activation_reads: int  # codes of a that entered the array
    weight_reads: int  # codes of b that entered the array
    output_writes: int  # results that left the array, partial sums of a fold over K as well
    tape: Tape | None  # of all cycles, if recorded

    @property
    def cycles(self) -> int:
        """Cycles of all folds, the one in which the last result leaves included."""
        return int(self.fold_cycles.sum())

    @property
    def macs(self) -> int:
        """Multiply-accumulates: M K N."""
        return int(self.busy.sum(dtype=np.int64))

    @property
    def utilisation(self) -> npt.NDArray[np.float64]:
        """The share of PEs that are busy in each cycle, (cycles,)."""
        return self.busy / (self.rows * self.cols)


def run(rows: int, cols: int, dataflow: str, a: Codes, b: Codes, *, record: bool = False) -> Stepped:
    """Multiply activations `a` (M, K) by weights `b` (K, N), integers of 8 or 16 bits, on `rows` x `cols` PEs.

    `dataflow` is one of the three above. `record` keeps what the array holds in every cycle, 18 bytes per PE: for small
    GEMMs, which then run twice. Raises HwsimError.
    """
    _check(rows, cols, dataflow, a, b)
    sums_stay, swapped = dataflow == "output_stationary", dataflow == "input_stationary"
    left, top = (a.T, b) if sums_stay else (b.T, a.T) if swapped else (a, b)
    streams = np.ascontiguousarray(left, np.int32), np.ascontiguousarray(top, np.int32)
    shape = (b.shape[1], a.shape[0]) if swapped else (a.shape[0], b.shape[1])
    tape, outputs = _tape(2, rows, cols), np.zeros(shape, np.int64)  # two cycles: the old registers and the new ones
    fold_cycles, busy, (left_reads, top_reads, writes) = folds(*streams, sums_stay, outputs, tape)
    if record:
        tape = _tape(len(busy), rows, cols)
        folds(*streams, sums_stay, np.zeros_like(outputs), tape)
    return Stepped(
        rows=rows,
        cols=cols,
        outputs=outputs.T if swapped else outputs,
        fold_cycles=fold_cycles,
        busy=busy,
        activation_reads=top_reads if swapped else left_reads,
        weight_reads=left_reads if swapped else top_reads,
        output_writes=writes,
        tape=tape if record else None,
    )


def _check(rows: int, cols: int, dataflow: str, a: Codes, b: Codes) -> None:
    for name, count in (("rows", rows), ("cols", cols)):
        if type(count) is not int or count < 1:
            raise HwsimError(f"stepped: {name} must be a positive integer, got {count!r}; give the PEs of the array")
    if dataflow not in DATAFLOWS:
        raise unknown("dataflow", dataflow, DATAFLOWS)
    for name, codes in (("a", a), ("b", b)):
        if codes.dtype.name not in DTYPES:
            raise HwsimError(
                f"stepped: {name} must be one of {', '.join(DTYPES)}, got {codes.dtype}; give integer codes"
            )
        if codes.ndim != 2 or codes.size == 0:
            raise HwsimError(
                f"stepped: {name} must be a matrix of codes, got shape {codes.shape}; run one GEMM at a time"
            )
    if a.shape[1] != b.shape[0]:
        raise HwsimError(f"stepped: a (M, K) and b (K, N) must agree in K, got {a.shape} and {b.shape}; transpose one")


def _tape(cycles: int, rows: int, cols: int) -> Tape:
    """An array at rest, with room for so many cycles."""
    lanes = {"left": (rows,), "top": (cols,), "leaving": (cols,)}
    wide = ("sums", "leaving")

    def room(name: str) -> Any:
        dtype = np.uint8 if name.endswith("_tags") else np.int64 if name in wide else np.int32
        return np.zeros((cycles, *lanes.get(name.removesuffix("_tags"), (rows, cols))), dtype)

    return Tape(*map(room, Tape._fields))


def _feed(stream: Int32, lane0: int, step: int, skew: int, codes: Int32, tags: Tags) -> int:
    """Feed an edge from `stream` (S, lanes): place i gets step `step - i * skew` of lane0 + i; returns the codes read."""
    read = 0
    for i in range(codes.shape[0]):
        at = step - i * skew
        codes[i], tags[i] = 0, 0
        if 0 <= at < stream.shape[0]:
            tags[i] = TOKEN + (LAST if at == stream.shape[0] - 1 else 0)
            if lane0 + i < stream.shape[1]:
                codes[i] = stream[at, lane0 + i]
                tags[i] += REAL
                read += 1
    return read


def _move_right(old: Codes, edge: Codes, new: Codes) -> None:
    """Every column of registers takes what the column left of it held, the first one what is fed."""
    for r in range(new.shape[0]):
        new[r, 0] = edge[r]
        for c in range(new.shape[1] - 1):
            new[r, c + 1] = old[r, c]


def _move_down(old: Codes, edge: Codes, new: Codes) -> None:
    """Every row of registers takes what the row above it held, the first one what is fed."""
    for c in range(new.shape[1]):
        new[0, c] = edge[c]
    for r in range(new.shape[0] - 1):
        for c in range(new.shape[1]):
            new[r + 1, c] = old[r, c]


def _hold(old: Codes, new: Codes) -> None:
    """Every register keeps what it held."""
    for r in range(new.shape[0]):
        for c in range(new.shape[1]):
            new[r, c] = old[r, c]


def _multiply(across: Int32, down: Int32, sums: Int64) -> None:
    """Every PE adds the product of its two codes."""
    for r in range(sums.shape[0]):
        for c in range(sums.shape[1]):
            sums[r, c] += np.int64(across[r, c]) * np.int64(down[r, c])


def _count_busy(across_tags: Tags, down_tags: Tags) -> int:
    """PEs whose two codes are real."""
    busy = 0
    for r in range(across_tags.shape[0]):
        for c in range(across_tags.shape[1]):
            busy += (across_tags[r, c] & down_tags[r, c] & REAL) // REAL
    return busy


move_right, move_down, hold = kernel(_move_right), kernel(_move_down), kernel(_hold)
multiply, count_busy = kernel(_multiply), kernel(_count_busy)


def _clock(tape: Tape, old: int, new: int, down_moves: bool, sums_stay: bool) -> int:
    """One cycle of all PEs, from the registers at `old` to those at `new`; returns how many are busy."""
    move_right(tape.across[old], tape.left[new], tape.across[new])
    move_right(tape.across_tags[old], tape.left_tags[new], tape.across_tags[new])
    if down_moves:
        move_down(tape.down[old], tape.top[new], tape.down[new])
        move_down(tape.down_tags[old], tape.top_tags[new], tape.down_tags[new])
    else:
        hold(tape.down[old], tape.down[new])
        hold(tape.down_tags[old], tape.down_tags[new])
    if sums_stay:
        hold(tape.sums[old], tape.sums[new])
    else:
        move_down(tape.sums[old], np.zeros(tape.sums.shape[2], np.int64), tape.sums[new])
    multiply(tape.across[new], tape.down[new], tape.sums[new])
    return count_busy(tape.across_tags[new], tape.down_tags[new])


def _leave(tape: Tape, now: int, sums_stay: bool) -> int:
    """Put every sum that is finished on the line of its column; returns how many."""
    rows, cols = tape.sums.shape[1:]
    finished = LAST if sums_stay else TOKEN
    tape.leaving[now], tape.leaving_tags[now] = 0, 0
    count = 0
    for r in range(0 if sums_stay else rows - 1, rows):
        for c in range(cols):
            if tape.across_tags[now, r, c] & finished:
                tape.leaving[now, c], tape.leaving_tags[now, c] = tape.sums[now, r, c], TOKEN
                count += 1
                if sums_stay:
                    tape.sums[now, r, c] = 0
    return count


def _collect(leaving: Int64, tags: Tags, taken: Int64, outputs: Int64, col0: int) -> int:
    """Add what leaves column c to the next of its `outputs`, unless it is padding; returns the writes."""
    writes = 0
    for c in range(tags.shape[0]):
        if tags[c]:
            if taken[c] < outputs.shape[0] and col0 + c < outputs.shape[1]:
                outputs[taken[c], col0 + c] += leaving[c]
                tags[c] += REAL
                writes += 1
            taken[c] += 1
    return writes


feed, clock, leave, collect = kernel(_feed), kernel(_clock), kernel(_leave), kernel(_collect)


def _folds(left: Int32, top: Int32, sums_stay: bool, outputs: Int64, tape: Tape) -> tuple[Int64, Int32, Any]:
    """All folds of the stream `left` (S, lanes) over `top`, (S, lanes) that moves too, or (lanes of left, lanes) that stays.

    Adds to `outputs`; returns the cycles of each fold, the busy PEs of each cycle, and how many codes entered at the left
    and at the top and results left. A tape that is shorter than the run is used again from its start.
    """
    length, rows, cols = tape.sums.shape
    steps, lanes = left.shape
    fold_cycles = np.zeros(-(-lanes // rows) * -(-top.shape[1] // cols), np.int64)
    busy = np.zeros(1024, np.int32)
    left_reads, top_reads, writes = 0, 0, 0
    cycle, fold = 0, 0
    for row0 in range(0, lanes, rows):
        for col0 in range(0, top.shape[1], cols):
            first = cycle
            taken = np.full(cols, row0 if sums_stay else 0, np.int64)
            missing = cols * (rows if sums_stay else steps)
            while missing > 0:
                old, now, t = (cycle - 1) % length, cycle % length, cycle - first
                down_moves = sums_stay or t < rows
                if sums_stay:
                    step, top_step, top_skew = t, t, 1
                else:
                    step, top_step, top_skew = t - rows, row0 + rows - 1 - t, 0
                left_reads += feed(left, row0, step, 1, tape.left[now], tape.left_tags[now])
                if down_moves:
                    top_reads += feed(top, col0, top_step, top_skew, tape.top[now], tape.top_tags[now])
                if cycle == busy.shape[0]:
                    busy = np.append(busy, np.zeros(cycle, np.int32))
                busy[cycle] = clock(tape, old, now, down_moves, sums_stay)
                missing -= leave(tape, now, sums_stay)
                writes += collect(tape.leaving[now], tape.leaving_tags[now], taken, outputs, col0)
                cycle += 1
            fold_cycles[fold] = cycle - first
            fold += 1
    return fold_cycles, busy[:cycle], (left_reads, top_reads, writes)


folds = kernel(_folds)
