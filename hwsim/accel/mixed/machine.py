"""What a setting costs on a machine: latency, energy and size, by the machine model itself."""

from collections.abc import Mapping

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.energy import EnergyTable
from hwsim.accel.evaluation import evaluate
from hwsim.accel.layer_bits import Widths
from hwsim.accel.mixed.tabulate import Amounts, Price
from hwsim.accel.program import Program


def price_on(program: Program, accelerator: Accelerator, table: EnergyTable, batch: int = 1) -> Price:
    """What the widths of the products of `program` cost on `accelerator`.

    latency: ms for a batch. energy: mJ for one image of it, at the prices of `table`. size: MiB of all stored numbers,
    weights at their widths and the others as 32-bit floats, without scales.
    """

    def price(widths: Mapping[str, Widths]) -> Amounts:
        mixed = program.mixed(widths)
        estimate = evaluate(mixed, accelerator, batch=batch)
        return {
            "latency": float(estimate.latency) * 1e3,
            "energy": float(sum(estimate.energy(table).values())) / batch * 1e-9,
            "size": mixed.weight_bytes / 2**20,
        }

    return price
