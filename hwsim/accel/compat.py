"""A stage as another tool has it, where a machine's `compat` asks for it: Bit Fusion's own simulator (`bitfusion`).

It knows no vector unit and no fill, takes heads one after the other, and chooses tiles of its own; what its tiles add to the
cycles of the units is mapping loss, and costs as much energy. One array, one configuration at a time.
"""

import numpy as np

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.activity import Activity
from hwsim.accel.bitfusion import layer
from hwsim.accel.compute import for_images
from hwsim.accel.estimate import PARTS, Cost, Moved
from hwsim.accel.operands import operands_of
from hwsim.accel.program import Stage
from hwsim.accel.schemes.spatial_fusion import SpatialFusion
from hwsim.accel.traffic import bits_per_cycle
from hwsim.errors import HwsimError

BUFFERS = {"ibuf": "activations", "wbuf": "weights", "obuf": "outputs"}
"""What the tool calls our buffers."""


def as_bitfusion(stage: Stage, machine: Accelerator, batch: int, activity: Activity | None) -> Cost:
    """The cost of a stage; raises HwsimError for more than one array or configuration, and where `layer` does."""
    operands, toggles = operands_of(stage, machine.precision, activity)
    gemm, scheme, kib = for_images(stage.gemm, batch), machine.precision, machine.buffers
    assert isinstance(scheme, SpatialFusion)
    if np.size(machine.pes) > 1 or machine.array.count != 1:
        raise HwsimError(
            f'{machine.name}: compat = "bitfusion" must have one array and one configuration, got several; set compat = ""'
        )
    one = layer(
        gemm.m,
        gemm.k,
        gemm.n,
        gemm.a_bits,
        gemm.b_bits,
        rows=machine.array.rows,
        cols=machine.array.cols,
        max_bits=scheme.max_bits,
        min_bits=scheme.min_bits,
        ibuf_kib=kib.activations.kib,
        wbuf_kib=kib.weights.kib,
        obuf_kib=kib.outputs.kib,
        dram_bits_per_cycle=float(bits_per_cycle(machine)),
    )
    useful = gemm.macs / (float(machine.pes) * scheme.peak(gemm.a_bits, gemm.b_bits))
    compute, stall = float(gemm.batch * one.compute), float(gemm.batch * one.stall)
    parts = dict.fromkeys(PARTS, np.asarray(0.0)) | {
        "useful": np.asarray(useful),
        "mapping": np.asarray(compute - useful),
        "dram": np.asarray(stall),
    }
    sram = {
        ours: _moved(gemm.batch, getattr(one, f"{its}_reads"), getattr(one, f"{its}_writes"))
        for its, ours in BUFFERS.items()
    }
    moved = _moved(gemm.batch, one.dram_reads, one.dram_writes)
    powered = compute * float(machine.pes) * scheme.peak(gemm.a_bits, gemm.b_bits)
    return Cost(stage, parts, moved, sram, np.asarray(0.0), gemm.macs, powered, {}, operands, toggles)


def _moved(times: int, reads: int, writes: int) -> Moved:
    return Moved(np.asarray(float(times * reads)), np.asarray(float(times * writes)))
