"""What a stage moves to and from DRAM, what it moves on chip because of that, and how long the machine waits for it.

    stall = max(0, (traffic - first - last) / bandwidth - work on chip) + (first + last) / bandwidth

first: the operands of the first fold (rows of A, columns of W), last: the outputs of the last one. That holds with double
buffers, where all else is moved beside the work; if any of the three is not, nothing is. Values that stay on chip
(`resident_kib`, see `program.Tensor`) are read from there and written there.
"""

import numpy as np

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.compute import Reals, spread
from hwsim.accel.estimate import Moved
from hwsim.accel.parts import Buffer
from hwsim.accel.program import Stage, Tensor
from hwsim.accel.tiling import fetched, stored_bits
from hwsim.op import Gemm


def bits_per_cycle(machine: Accelerator) -> Reals:
    """Bandwidth of DRAM."""
    return np.asarray(machine.dram.gb_per_s * 8e3 / machine.clock_mhz)


class Traffic:
    """What a stage moves to and from DRAM, and to and from memory on chip because of it, in bits.

    on_chip: what enters and leaves buffers beside the words of the arrays: operands and values as they come, what the
    vector unit reads of them, and its results, which leave for DRAM or for the memory between layers.
    """

    def __init__(self, stage: Stage, gemm: Gemm, machine: Accelerator, batch: int) -> None:
        self.machine, self.batch = machine, batch
        buffers, float_bits = machine.buffers, machine.dram.float_bits
        a_stays, b_stays = self._stays(stage.a), self._stays(stage.b)
        again = fetched(gemm, buffers, a_stays, b_stays, stage.a.elements * batch / gemm.batch)
        a = self._bits(stage.a, buffers.activations) * again.a
        b = self._bits(stage.b, buffers.weights, 1 if gemm.b_static else batch) * again.b
        other = [(self._bits(tensor, buffers.activations), self._stays(tensor)) for tensor in stage.reads]
        written = [(self._bits(tensor, buffers.outputs), self._stays(tensor)) for tensor in stage.writes]
        constants = float(stage.parameters * float_bits)
        zero = np.asarray(0.0)
        from_dram = a * (1 - a_stays) + b * (1 - b_stays) + constants
        reads = from_dram + sum((bits * (1 - stays) for bits, stays in other), zero)
        writes = sum((bits * (1 - stays) for bits, stays in written), zero)
        self.moved = Moved(reads, writes)
        read = sum((bits for bits, _ in other), zero)  # by the vector unit
        made = sum((bits for bits, _ in written), zero)
        kept_in = sum((bits * stays for bits, stays in written), zero)
        kept_out = a * a_stays + b * b_stays + sum((bits * stays for bits, stays in other), zero)
        self.on_chip = {
            "activations": Moved(read, a + read),
            "weights": Moved(zero, b),
            "outputs": Moved(made, made),
            "resident": Moved(kept_out, kept_in),
        }
        laid = spread(gemm, machine.array)
        down, across = -(-gemm.m // laid.m), -(-gemm.n // laid.n)
        share_a = np.minimum(1.0, machine.array.rows * down * laid.at_once / (gemm.m * gemm.batch))
        share_b = np.minimum(1.0, machine.array.cols * across * laid.at_once / (gemm.n * gemm.batch))
        self.first = np.minimum(
            from_dram, a * (1 - a_stays) * share_a / again.a + b * (1 - b_stays) * share_b / again.b
        )
        self.last = writes * share_a

    def _bits(self, tensor: Tensor, buffer: Buffer, batch: int | None = None) -> Reals:
        stored = stored_bits(tensor.bits, buffer, self.machine.buffers.packing)
        return tensor.elements * (self.batch if batch is None else batch) * stored

    def _stays(self, tensor: Tensor) -> Reals:
        """1 where the tensor stays on chip, else 0."""
        return np.asarray(tensor.stays * self.batch <= self.machine.buffers.resident_kib * 1024, dtype=np.float64)

    def stall(self, on_chip: Reals) -> Reals:
        """Cycles that the machine waits for DRAM beside `on_chip` cycles of work."""
        machine = self.machine
        rate = bits_per_cycle(machine)
        total = self.moved.reads + self.moved.writes
        buffers = machine.buffers
        if not all(buffer.double_buffered for buffer in (buffers.activations, buffers.weights, buffers.outputs)):
            return total / rate
        ends = self.first + self.last
        waits: Reals = np.maximum(0.0, (total - ends) / rate - on_chip) + ends / rate
        return waits
