"""A proxy of the area that a machine takes: the arithmetic of its PEs and the bits of its memories, at a table's prices.

The vector unit, registers, wires, control and DRAM are left out; prices are those of `hwsim.accel.energy`, of their node.
"""

import numpy as np

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.compute import Reals
from hwsim.accel.energy import EnergyTable


def area_um2(machine: Accelerator, table: EnergyTable) -> Reals:
    """A proxy of the area that the machine takes: the arithmetic of its PEs, and the bits of its memories."""
    buffers = machine.buffers
    kib = buffers.activations.kib + buffers.weights.kib + buffers.outputs.kib + buffers.resident_kib
    return np.asarray(table.area_um2(machine.precision) * machine.pes + table.sram_um2_per_bit * 8192 * kib)
