"""What a program takes on a machine: cycles by part, traffic, energy, for one configuration or many.

Cycles are split into the PARTS, which add up to them:

    useful    every PE computes at the rate of its precision scheme, with nothing to wait for
    mapping   PEs at the edge of a fold, operands that do not fill a PE, arrays without a product
    fill      stationary tiles on their way in, skew at the start and the end of folds; in a pipeline, waiting for the
              slowest unit
    port      the arrays wait for the ports of their buffers
    dram      everything waits for DRAM
    vector    the arrays wait for the vector unit

All arrays are float64, with one value per configuration (shape () for one).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.compute import Reals
from hwsim.accel.energy import EnergyTable
from hwsim.accel.program import Program, Stage
from hwsim.accel.scheme import Operand
from hwsim.op import Action

PARTS = ("useful", "mapping", "fill", "port", "dram", "vector")
COMPONENTS = ("mac", "sram", "dram", "vector", "leakage")
LEAST_KIB = 1e-3
"""What a memory of no size is priced as, of which nothing is read."""
BUFFERS = ("activations", "weights", "outputs", "resident")


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Bits that a memory gives and takes."""

    reads: Reals
    writes: Reals

    def repeated(self, times: int) -> "Moved":
        """So many times as much."""
        return Moved(times * self.reads, times * self.writes)

    def unless(self, condition: NDArray[np.bool_], other: "Moved") -> "Moved":
        """This, but where `condition` holds the `other`."""
        return Moved(np.where(condition, other.reads, self.reads), np.where(condition, other.writes, self.writes))


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """What one product of a stage, and the vector work behind it, takes for the batch.

    parts: cycles by the name of the part. sram: bits by the name of the buffer. busy: cycles of the vector unit, whether
    anything waits for it or not, and vector: its actions. macs: what the products need; powered: what the PEs are charged
    for, more where idle ones are not switched off. operands: as the scheme took them. toggles: of both.
    """

    stage: Stage
    parts: Mapping[str, Reals]
    dram: Moved
    sram: Mapping[str, Moved]
    busy: Reals
    macs: int
    powered: float
    vector: Mapping[Action, int]
    operands: tuple[Operand, Operand]
    toggles: float

    @property
    def cycles(self) -> Reals:
        """All cycles."""
        return sum((self.parts[part] for part in PARTS), np.asarray(0.0))

    def repeated(self, times: int) -> "Cost":
        """That of as many such batches, one after the other."""
        if times == 1:
            return self
        return replace(
            self,
            parts={part: times * cycles for part, cycles in self.parts.items()},
            dram=self.dram.repeated(times),
            sram={name: moved.repeated(times) for name, moved in self.sram.items()},
            busy=times * self.busy,
            macs=times * self.macs,
            powered=times * self.powered,
            vector={action: times * count for action, count in self.vector.items()},
        )

    def unless(self, condition: NDArray[np.bool_], other: "Cost") -> "Cost":
        """This one, for each configuration, but where `condition` holds the `other` of the same stage and images."""
        return replace(
            self,
            parts={part: np.where(condition, other.parts[part], cycles) for part, cycles in self.parts.items()},
            dram=self.dram.unless(condition, other.dram),
            sram={name: moved.unless(condition, other.sram[name]) for name, moved in self.sram.items()},
            busy=np.where(condition, other.busy, self.busy),
        )

    @property
    def dram_bytes(self) -> Reals:
        """Read and written."""
        return (self.dram.reads + self.dram.writes) / 8


def summed(costs: Iterable[Cost]) -> dict[str, Reals]:
    """Cycles by part, of all products that the costs stand for."""
    costs = tuple(costs)
    return {part: sum((cost.stage.times * cost.parts[part] for cost in costs), np.asarray(0.0)) for part in PARTS}


@dataclass(frozen=True, eq=False)
class Estimate:
    """The costs of a program's stages on `accelerator`, for `batch` images.

    parts: cycles by part from one batch to the next; latency_cycles: from a batch's first input to its last output, the
    same but in a pipeline. units: of a pipeline, the cycles per image of the slowest unit of each group and role.
    """

    program: Program
    accelerator: Accelerator
    batch: int
    costs: tuple[Cost, ...]
    parts: Mapping[str, Reals]
    latency_cycles: Reals
    units: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def cycles(self) -> Reals:
        """Cycles from one batch to the next."""
        return sum((self.parts[part] for part in PARTS), np.asarray(0.0))

    @property
    def latency(self) -> Reals:
        """Seconds for a batch."""
        return self.latency_cycles / (self.accelerator.clock_mhz * 1e6)

    @property
    def fps(self) -> Reals:
        """Images per second."""
        return self.batch * self.accelerator.clock_mhz * 1e6 / self.cycles

    @property
    def utilisation(self) -> Reals:
        """The share of the cycles in which, on average, a PE did what its scheme can do at these widths."""
        return self.parts["useful"] / self.cycles

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the batch."""
        return self.batch * self.program.macs

    @cached_property
    def dram_bytes(self) -> Reals:
        """To and from DRAM, for the batch."""
        return sum((cost.stage.times * cost.dram_bytes for cost in self.costs), np.asarray(0.0))

    def energy(self, table: EnergyTable) -> dict[str, Reals]:
        """Picojoules of the batch by component, at the prices of `table`."""
        total = {name: np.zeros(np.shape(self.cycles)) for name in COMPONENTS}
        for cost in self.costs:
            for name, value in self.energy_of(cost, table).items():
                total[name] = total[name] + cost.stage.times * value
        per_cycle = table.leakage(self.accelerator.precision, self.accelerator.clock_mhz) * self.accelerator.pes
        total["leakage"] = total["leakage"] + per_cycle * self.cycles
        return total

    def energy_of(self, cost: Cost, table: EnergyTable) -> dict[str, Reals]:
        """Picojoules of one product of a stage by component, without leakage."""
        machine = self.accelerator
        a, b = cost.operands
        sram = np.asarray(0.0)
        for name, moved in cost.sram.items():
            kib, banks = self._memory(name)
            sram = sram + moved.reads * table.sram_read(kib, banks) + moved.writes * table.sram_write(kib, banks)
        vector = sum(n * table.action(act.kind, act.a_bits, act.b_bits) for act, n in cost.vector.items())
        return {
            "mac": np.asarray(cost.powered * table.mac(machine.precision, a, b, toggles=cost.toggles)),
            "sram": sram,
            "dram": cost.dram.reads * table.dram_read + cost.dram.writes * table.dram_write,
            "vector": np.asarray(float(vector)),
        }

    def _memory(self, name: str) -> tuple[Reals, Reals]:
        """KiB and banks of a memory on chip: a bank gives a line per cycle; memory between layers is as the first buffer."""
        buffers = self.accelerator.buffers
        buffer = buffers.activations if name == BUFFERS[-1] else getattr(buffers, name)
        kib = buffers.resident_kib if name == BUFFERS[-1] else buffer.kib
        banks = np.maximum(1.0, buffer.bytes_per_cycle * 8 / buffer.port_bits)
        return np.maximum(kib, LEAST_KIB), np.asarray(banks)

    def nodes(self) -> Iterator[tuple[str, str, dict[str, float], float, float]]:
        """Of one configuration, for each node in the graph's order: name, group or role, cycles by part, DRAM bytes, and
        cycles for which it keeps the vector unit busy, whether anything waits for that or not.

        What waits for the vector unit in a stage is shared out among its nodes by how long each keeps it busy.
        """
        by_product = {name: cost for cost in self.costs for name in cost.stage.nodes}
        flow, unit = self.program.flow, self.accelerator.vector
        for row in self.program.rows:
            if row.node not in flow.stage_of or (not row.actions and row.gemm is None):
                continue
            cost = by_product[flow.products[flow.stage_of[row.node]]]
            actions = sum(n * unit.cycles[act.kind] for act, n in row.actions.items() if act.kind != "mac")
            busy = actions * self.batch / unit.lanes if float(cost.busy) else 0.0
            parts = dict.fromkeys(PARTS, 0.0)
            if row.gemm is not None:
                parts = {part: float(cost.parts[part]) for part in PARTS}
            if busy or float(cost.busy):
                parts["vector"] = float(cost.parts["vector"]) * busy / float(cost.busy)
            yield (
                *(row.node, row.group if row.gemm else row.role, parts),
                *(float(cost.dram_bytes) if row.gemm else 0.0, busy),
            )
