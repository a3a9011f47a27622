"""The accelerators' part of a suite: what the paper's speedup becomes on machines, and machines against publications."""

from collections.abc import Iterator, Mapping

from hwsim.accel import accelerator as accelerators
from hwsim.accel import energy
from hwsim.accel.agreement import agreement
from hwsim.accel.program import Program
from hwsim.cli._estimates import Asked
from hwsim.record import Record
from workloads import models

MACHINES = ("systolic_32x32", "fusion_32x32", "loom")
"""A fixed-width array, one whose units fuse, and a bit-serial one."""
WIDTHS = (8, 4, 2)


def estimates(model: str, program: Program) -> Iterator[Record]:
    """The estimates of a model at WIDTHS on MACHINES, with the theoretical speedups beside those of the machines."""
    tables = [energy.find(name) for name in energy.names()]
    for width in WIDTHS:
        tags = {"wbits": str(width), "abits": str(width)}
        asked = Asked(model, f"{models.find(model).label} W{width}A{width}", program.at(width, width), tags)
        for name in MACHINES:
            machine = accelerators.find(name)
            yield from asked.records(asked.on(machine, 1, None), tables, nodes=False)
        yield from asked.on_paper()


def agreements(programs: Mapping[str, Program]) -> Iterator[Record]:
    """Published figures of the catalogue's machines, where all that they are of is among `programs`."""
    for name in accelerators.names():
        machine = accelerators.find(name)
        if machine.published and all(figure.model in programs or not figure.model for figure in machine.published):
            yield from agreement(machine, lambda model, wbits, abits: programs[model].at(wbits, abits))
