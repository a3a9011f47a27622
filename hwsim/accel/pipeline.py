"""A machine that has a unit for every product, all of them at work at once on images that follow each other.

A product takes ceil(M/m) ceil(K/k) ceil(N/n) cycles on a unit of m x k x n MACs, for each head or window in turn; wider
operands than the scheme's take passes, narrower ones gain nothing. Images follow each other at the pace of the slowest
unit, or of DRAM, which only brings inputs and takes outputs: weights stay on chip. Other work has units that pass over its
elements, or keeps up. So a stage's parts are its share of the machine, by the MACs of its unit: what it computes, what its
edges lose, how long it waits for the slowest product (fill), and all for slower vector units and for DRAM. FINN
(arXiv 1612.07119) paces matrix-vector units likewise.

The first image comes out after one such interval, and one more for each attention, which waits for the keys of all tokens;
that is inferred by us. Each cycle a unit reads the m k and k n operands of its MACs, and writes each output once.
"""

import math
from collections.abc import Mapping

import numpy as np

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.activity import Activity
from hwsim.accel.compute import Reals
from hwsim.accel.estimate import PARTS, Cost, Estimate, Moved, summed
from hwsim.accel.operands import operands_of
from hwsim.accel.parts import Unit
from hwsim.accel.program import Program, Stage, Tensor
from hwsim.accel.scheme import Operand
from hwsim.accel.tiling import ACCUMULATOR_BITS
from hwsim.accel.traffic import bits_per_cycle
from hwsim.errors import HwsimError

ZERO = np.asarray(0.0)


def pipelined(
    program: Program, machine: Accelerator, stages: tuple[Stage, ...], batch: int, activity: Activity | None
) -> Estimate:
    """Every product on a unit of its own, all at once; raises HwsimError where a group of layers has no unit."""
    taken = [operands_of(stage, machine.precision, activity) for stage in stages]
    units = [_unit(machine, stage) for stage in stages]
    width = [unit.m * unit.k * unit.n for unit in units]
    macs = sum(stage.times * own for stage, own in zip(stages, width, strict=True))
    passes = [1 / min(1.0, machine.precision.peak(a.bits, b.bits)) for (a, b), _ in taken]
    busy = [_cycles(stage, unit) * by for stage, unit, by in zip(stages, units, passes, strict=True)]
    moved = [Moved(_outside(stage.a), sum((_outside(tensor) for tensor in stage.writes), ZERO)) for stage in stages]
    traffic = sum((stage.times * (bits.reads + bits.writes) for stage, bits in zip(stages, moved, strict=True)), ZERO)
    slowest = max(busy)
    cycles: dict[str, float] = {}
    for stage, own in zip(stages, busy, strict=True):
        for name, value in ((stage.group, own), *_streamed(machine, stage)):
            cycles[name] = max(value, cycles.get(name, 0))
    paced = max(cycles.values())
    interval = np.maximum(paced, traffic / bits_per_cycle(machine))
    costs = []
    for at, stage in enumerate(stages):
        share = batch * width[at] / macs
        useful = stage.gemm.macs * passes[at] / width[at]
        parts = dict.fromkeys(PARTS, ZERO) | {
            "useful": np.asarray(share * useful),
            "mapping": np.asarray(share * (busy[at] - useful)),
            "fill": np.asarray(share * (slowest - busy[at])),
            "dram": share * (interval - paced),
            "vector": np.asarray(share * (paced - slowest)),
        }
        (operands, toggles), vector = taken[at], {action: batch * n for action, n in stage.actions.items()}
        bits = Moved(batch * moved[at].reads, batch * moved[at].writes)
        sram = _words(stage, units[at], operands, batch * busy[at] / passes[at], batch)
        whole = batch * stage.gemm.macs
        costs.append(Cost(stage, parts, bits, sram, ZERO, whole, whole, vector, operands, toggles))
    attentions = sum(stage.times for stage in stages if stage.group == "qk")
    latency = interval * (batch + attentions)
    return Estimate(program, machine, batch, tuple(costs), summed(costs), latency, cycles)


def _unit(machine: Accelerator, stage: Stage) -> Unit:
    assert machine.pipeline is not None
    if stage.group not in machine.pipeline.units:
        raise HwsimError(
            f"{machine.name}: a pipeline must have a unit for each group of layers, got none for {stage.group}; "
            f"add [pipeline.units.{stage.group}]"
        )
    return machine.pipeline.units[stage.group]


def _cycles(stage: Stage, unit: Unit) -> int:
    gemm = stage.gemm
    return gemm.batch * -(-gemm.m // unit.m) * -(-gemm.k // unit.k) * -(-gemm.n // unit.n)


def _streamed(machine: Accelerator, stage: Stage) -> list[tuple[str, int]]:
    """The units for vector work behind a product, by their role, and their cycles."""
    assert machine.pipeline is not None
    units = machine.pipeline.vector
    return [
        (role, -(-n // units[role].elements) * units[role].passes) for role, n in stage.made.items() if role in units
    ]


def _outside(tensor: Tensor) -> Reals:
    """Bits of what comes from outside or goes there."""
    return np.asarray(float(tensor.elements * tensor.bits) if tensor.stays == math.inf else 0.0)


def _words(
    stage: Stage, unit: Unit, operands: tuple[Operand, Operand], steps: float, batch: int
) -> Mapping[str, Moved]:
    """Bits that a unit reads and writes on chip in `steps`."""
    a, b = operands
    out = np.asarray(float(batch * stage.gemm.batch * stage.gemm.m * stage.gemm.n * ACCUMULATOR_BITS))
    return {
        "activations": Moved(np.asarray(steps * unit.m * unit.k * a.bits), ZERO),
        "weights": Moved(np.asarray(steps * unit.k * unit.n * b.bits), ZERO),
        "outputs": Moved(out, out),
    }
