"""What the PE arrays take for the products of a stage: cycles in three parts, and how often each operand is read.

A product (M, K) x (K, N) is packed as the precision scheme says: a PE takes m x k x n operands side by side, so the array
sees ceil(M/m), ceil(K/k), ceil(N/n), and each step of the streamed dimension takes `passes` cycles. Images share the
reading of constant weights: their rows follow each other in M. Everything else is `batch` times as many products.

Equal arrays take one product each. Where there are fewer products than arrays, each is cut into as many equal pieces as there
are arrays for it (and rows or columns), along M or N (`split`), or leaves the others idle. Each piece reads its own operands:
nothing is sent to two arrays at once, so that ports may bind where there are many. Time of idle arrays, of PEs at the edge,
and of operands that do not fill a PE is mapping loss.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.accel.dataflow import DATAFLOWS, gemm_cycles
from hwsim.accel.folds import Counts
from hwsim.accel.parts import Array
from hwsim.accel.scheme import Packing
from hwsim.op import Gemm

Reals = NDArray[np.float64]
"""Real numbers, one per configuration."""


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """Cycles of all arrays for all products of a stage, and the words that they read from and write to their buffers.

    `useful` are those in which every PE computed, had it nothing to wait for; with `mapping` (PEs without work) and `fill`
    (tiles on their way in, skew) they are the cycles that the arrays take. a_words, b_words: operands read;
    written_words: sums written, partial ones too, each of which is also read once: by the vector unit or the next fold.
    """

    useful: Reals
    mapping: Reals
    fill: Reals
    a_words: Reals
    b_words: Reals
    written_words: Reals

    @property
    def cycles(self) -> Reals:
        """All cycles of the arrays."""
        return self.useful + self.mapping + self.fill


def for_images(gemm: Gemm, batch: int) -> Gemm:
    """The products of `batch` images: of constant weights one for all of them, else as many as there are images."""
    if gemm.b_static:
        return replace(gemm, m=gemm.m * batch)
    return replace(gemm, batch=gemm.batch * batch)


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How the products of a stage lie on the arrays: `pieces` of m x n outputs each, so many products `at_once`."""

    m: Counts
    n: Counts
    pieces: Counts
    at_once: Counts


def spread(gemm: Gemm, array: Array) -> Spread:
    """The pieces of `gemm` on the arrays, and how many of its products run beside each other."""
    m, n, one = np.asarray(gemm.m), np.asarray(gemm.n), np.asarray(1)
    free = np.maximum(1, array.count // gemm.batch)
    if array.split == "m":
        m = -(-gemm.m // free)
    elif array.split == "n":
        n = -(-gemm.n // free)
    pieces = -(-gemm.m // m) * -(-gemm.n // n)
    at_once = np.minimum(gemm.batch, np.maximum(one, array.count // pieces))
    return Spread(m, n, pieces, at_once)


def computes(gemm: Gemm, packing: Packing, array: Array) -> tuple[Compute, ...]:
    """What `gemm` takes, by each dataflow that `array` can choose from."""
    chosen = DATAFLOWS if array.dataflow == "best" else (array.dataflow,)
    return tuple(_compute(gemm, packing, array, dataflow) for dataflow in chosen)


def _compute(gemm: Gemm, packing: Packing, array: Array, dataflow: str) -> Compute:
    laid = spread(gemm, array)
    m, n = laid.m, laid.n
    sizes = {"m": -(-m // packing.m), "k": np.asarray(-(-gemm.k // packing.k)), "n": -(-n // packing.n)}
    stream = DATAFLOWS[dataflow][2]
    sizes[stream] = _steps(sizes[stream], packing.passes)
    rounds = -(-gemm.batch // laid.at_once)
    found = gemm_cycles(
        array.rows,
        array.cols,
        dataflow,
        sizes["m"],
        sizes["k"],
        sizes["n"],
        shadow_registers=array.shadow_registers,
        back_to_back=array.back_to_back,
        accumulators=array.accumulators,
        true_edges=array.true_edges,
        products=rounds,
    )
    streaming = (found.folds * sizes[stream]).astype(np.float64)
    cycles = streaming if array.interconnect == "broadcast" else found.cycles
    side_by_side = packing.m * packing.k * packing.n
    useful = gemm.macs * packing.passes / side_by_side / (found.pes * array.count)
    times = gemm.batch * laid.pieces
    return Compute(
        useful=useful,
        mapping=streaming - useful,
        fill=cycles - streaming,
        a_words=times * (m * gemm.k) * (found.activation_reads // (rounds * sizes["m"] * sizes["k"])),
        b_words=times * (gemm.k * n) * (found.weight_reads // (rounds * sizes["k"] * sizes["n"])),
        written_words=times * (m * n) * (found.output_writes // (rounds * sizes["m"] * sizes["n"])),
    )


def _steps(steps: Counts, passes: float) -> Counts:
    """Cycles of `steps` of the stream."""
    found: Counts = np.maximum(1, np.ceil(steps * passes)).astype(np.int64)
    return found
