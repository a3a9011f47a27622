"""Cycles and SRAM words of a GEMM (M, K) x (K, N) on a systolic array of R rows x C columns, in closed form.

With F folds of P cycles each (cd: division rounded up), the GEMM takes F P cycles:

    dataflow            F                  P               activation reads  weight reads  output writes
    output_stationary   cd(M,R) cd(N,C)    K + R + C - 2   M K cd(N,C)       K N cd(M,R)   M N
    weight_stationary   cd(K,R) cd(N,C)    M + 2R + C - 2  M K cd(N,C)       K N           M N cd(K,R)
    input_stationary    cd(K,R) cd(M,C)    N + 2R + C - 2  M K               K N cd(M,C)   M N cd(K,R)

Source: SCALE-Sim (arXiv 1811.02883), and what version 3 of the tool prints, which differs in two ways that
`compat="scalesim"` repeats. It prints the index of the last cycle, F P - 1 (its issue 125: a 4 x 4 x 4 GEMM on 4 x 4 PEs
takes 10 cycles in RTL, the tool says 9), and adds F (R + C) words to the writes of output_stationary. By its authors
(scale-sim-v3, issue 4) their paper has 2R for output_stationary too, and so counts sums that move out through the rows;
the tool and that RTL do not, nor do we.

Switches, all off in the tool: `shadow_registers` load the next stationary tile beside the stream, `back_to_back` folds
pay the skew once (both: `folds`), `accumulators` add up the partial sums of the folds along K on chip, so that outputs
are written once, `true_edges` give folds at the edge the rows and columns that they use. Nothing is stationary but
sums in output_stationary: there shadow registers and accumulators change nothing.

One word is one operand or one output, of any width. Partial sums that are written without accumulators must be read
again, `output_writes` - M N words; like the tool we do not count these as reads. Of several equal `products` (heads, windows)
each starts on an empty array, or back to back behind the one before; all else is so many times as much.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim import catalog
from hwsim.accel.folds import Counts, Folds, cut, pipelined_cycles, serial_cycles
from hwsim.errors import HwsimError

Sizes = int | Counts
"""Whole numbers above zero: one, or an integer array that broadcasts with the others."""

DATAFLOWS = {
    "output_stationary": ("m", "n", "k"),
    "weight_stationary": ("k", "n", "m"),
    "input_stationary": ("k", "m", "n"),
}
"""Which dimension of the GEMM lies along the rows of PEs, which along the columns, and which one is streamed."""

COMPATS = ("scalesim",)
"""Tools whose printed figures can be had."""

LIMIT = 2**62
"""What no count may reach; they stay below products (high + R) (wide + C) (steps + 2R + C), sizes in the order of DATAFLOWS.
GEMMs of DeiT-B on 256 x 256 PEs stay below 2**32."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GemmCycles:
    """What a GEMM, or several equal ones, take on a systolic array: int64 arrays, of the shape that all arguments
    broadcast to.

    A PE-cycle is one cycle of one PE; the array's are split without rest into three parts. Only under `compat`, whose
    total lacks a cycle, can the last part be negative, on 1 x 1 PEs.
    """

    pes: Counts
    """PEs of the array, R C."""
    folds: Counts
    """Passes over the array, F."""
    fold_cycles: Counts
    """Cycles of a fold that has the array to itself and fills it, P."""
    cycles: Counts
    """Cycles of the whole GEMM."""
    useful_pe_cycles: Counts
    """PE-cycles that compute: one per MAC."""
    mapping_pe_cycles: Counts
    """PE-cycles that folds at the edge leave unused: of their idle PEs, while a stream of K, M or N steps runs."""
    fill_pe_cycles: Counts
    """All other PE-cycles: stationary tiles on their way in, skew at the start and the end of folds."""
    activation_reads: Counts
    """Words of the left operand read from SRAM."""
    weight_reads: Counts
    """Words of the right operand read from SRAM."""
    output_writes: Counts
    """Words written to SRAM: outputs, and partial sums where they are not added up on chip."""

    @property
    def pe_cycles(self) -> Counts:
        """Cycles times PEs: the sum of the three parts."""
        return self.cycles * self.pes

    @property
    def utilisation(self) -> NDArray[np.float64]:
        """MACs per PE and cycle, 0..1."""
        return self.useful_pe_cycles / self.pe_cycles


def gemm_cycles(
    rows: Sizes,
    cols: Sizes,
    dataflow: str,
    m: Sizes,
    k: Sizes,
    n: Sizes,
    *,
    shadow_registers: bool = False,
    back_to_back: bool = False,
    accumulators: bool = False,
    true_edges: bool = False,
    compat: str | None = None,
    products: Sizes = 1,
) -> GemmCycles:
    """What `products` times (m, k) x (k, n) take on `rows` x `cols` PEs; sizes may be integer arrays, which broadcast.

    Raises UnknownName for a dataflow or a compat that there is not, and HwsimError for sizes that are no integers above zero,
    do not broadcast or are too large for 64 bits (`LIMIT`), and for switches under compat.
    """
    if dataflow not in DATAFLOWS:
        raise catalog.unknown("dataflow", dataflow, DATAFLOWS)
    if compat is not None and compat not in COMPATS:
        raise catalog.unknown("compat", compat, COMPATS)
    if compat and (shadow_registers or back_to_back or accumulators or true_edges):
        raise HwsimError(
            f"gemm_cycles: compat must have all switches off, got compat {compat!r} with some on; drop either"
        )
    sizes = _sizes({"rows": rows, "cols": cols, "m": m, "k": k, "n": n, "products": products}, DATAFLOWS[dataflow])
    times = sizes["products"]
    high, wide, steps = (sizes[dimension] for dimension in DATAFLOWS[dataflow])
    loads = dataflow != "output_stationary"
    folds = cut(sizes["rows"], sizes["cols"], high, wide, steps, loads, true_edges)
    cycles = (pipelined_cycles if back_to_back else serial_cycles)(folds, shadow_registers, times)
    if compat:
        cycles = cycles - times
    pes, macs = folds.rows * folds.cols, times * high * wide * steps
    streaming = times * folds.count * steps * pes
    return GemmCycles(
        pes=pes,
        folds=times * folds.count,
        fold_cycles=steps + (2 if loads else 1) * folds.rows + folds.cols - 2,
        cycles=cycles,
        useful_pe_cycles=macs,
        mapping_pe_cycles=streaming - macs,
        fill_pe_cycles=cycles * pes - streaming,
        **_words(dataflow, sizes, folds, accumulators, compat),
    )


def _words(
    dataflow: str, sizes: dict[str, Counts], folds: Folds, accumulators: bool, compat: str | None
) -> dict[str, Counts]:
    """Words read from and written to SRAM, by the field of the result."""
    activations, weights, outputs = sizes["m"] * sizes["k"], sizes["k"] * sizes["n"], sizes["m"] * sizes["n"]
    if dataflow == "output_stationary":
        activations, weights = activations * folds.across, weights * folds.down
        if compat:
            outputs = outputs + folds.count * (folds.rows + folds.cols)
    else:
        if dataflow == "weight_stationary":
            activations = activations * folds.across
        else:
            weights = weights * folds.across
        if not accumulators:
            outputs = outputs * folds.down
    words = {"activation_reads": activations, "weight_reads": weights, "output_writes": outputs}
    return {name: sizes["products"] * count for name, count in words.items()}


def _sizes(sizes: dict[str, Sizes], mapping: tuple[str, str, str]) -> dict[str, Counts]:
    """The sizes as int64 arrays of one shape; raises HwsimError where one is illegal or counts could exceed 64 bits."""
    arrays = {name: np.asarray(size) for name, size in sizes.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "iu":
            raise HwsimError(f"gemm_cycles: {name} must be integers of 64 bits, got {array.dtype}; pass int or int64")
        if np.any(array < 1):
            raise HwsimError(f"gemm_cycles: {name} must be above zero, got {array[array < 1][0]}; leave out empty ones")
    try:
        whole = dict(zip(arrays, np.broadcast_arrays(*arrays.values()), strict=True))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise HwsimError(f"gemm_cycles: shapes must broadcast, got {shapes}; reshape them to one grid") from None
    rows, cols, high, wide, steps = (whole[name].astype(np.float64) for name in ("rows", "cols", *mapping))
    bound = (
        whole["products"].astype(np.float64) * (high + rows) * (wide + cols) * (steps + 2 * rows + cols)
    )  # rounding is far below the factor 2 to spare
    if np.any(bound >= LIMIT):
        raise HwsimError(f"gemm_cycles: PE-cycles must stay below 2**62, got about {bound.max():.1e}; split the GEMM")
    return {name: array.astype(np.int64) for name, array in whole.items()}
