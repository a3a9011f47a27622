"""Points of a sweep, priced: one line of JSON each, the numbers of all points of a group at once.

    {"point": 17, "accelerator": "systolic_32x32", "model": "deit_small_patch16_224", "bits": "w4a4", "batch": 1,
     "array.rows": 16, "energy": "horowitz_45nm", "latency_seconds": 0.0123, ...}

Numbers have twelve digits: counts are whole, and the last bits of a processor's own arithmetic are not seen. Where an
accelerator cannot run the model at these bits, `"refused"` says why in the place of the numbers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwsim.accel.accelerator import Accelerator, changed, varied
from hwsim.accel.area import area_um2
from hwsim.accel.compute import Reals
from hwsim.accel.energy import EnergyTable
from hwsim.accel.estimate import PARTS
from hwsim.accel.evaluation import evaluate
from hwsim.accel.layer_bits import LayerBits
from hwsim.accel.program import Program
from hwsim.accel.sweep.space import Numbers, Space
from hwsim.errors import HwsimError

METRICS = (
    "latency_seconds",
    "energy_joules",
    "area_um2",
    "size_bytes",
    "fps",
    "cycles",
    *(f"{part}_cycles" for part in PARTS),
    "utilisation",
    "dram_bytes",
)
"""What a line tells besides its choices. Latency, cycles and traffic are of a batch, the energy is of an image."""

PICO = 1e12

Widths = tuple[int, int] | LayerBits
"""Bits of weights and activations, or of each layer."""


@dataclass(frozen=True, slots=True)
class Pricer:
    """All that the numbers depend on: programs by model, accelerators, energy tables, bits by the names that choose them."""

    space: Space
    programs: Mapping[str, Program]
    accelerators: Mapping[str, Accelerator]
    tables: Mapping[str, EnergyTable]
    bits: Mapping[str, Widths]
    ends: int
    made: dict[tuple[str, str], Program] = field(default_factory=dict, repr=False, compare=False)
    """Programs at the bits that were asked for."""

    def lines(self, points: Numbers) -> str:
        """The lines of the points of these numbers, which ascend."""
        groups, starts = np.unique(points // self.space.group, return_index=True)
        parts = np.split(points, starts[1:])
        return "".join(
            text for group, part in zip(groups.tolist(), parts, strict=True) for text in self._group(group, part)
        )

    def program(self, model: str, bits: str) -> Program:
        """The program of `model` at these bits."""
        if (model, bits) not in self.made:
            widths, whole = self.bits[bits], self.programs[model]
            if isinstance(widths, LayerBits):
                self.made[model, bits] = whole.mixed(widths.resolve(whole.products))
            else:
                self.made[model, bits] = whole.at(*widths, self.ends)
        return self.made[model, bits]

    def machine(self, chosen: Mapping[str, Any]) -> Accelerator:
        """The accelerator that the outer axes choose."""
        own = {key: value for key, value in chosen.items() if "." in key or key in Accelerator.model_fields}
        return changed(self.accelerators[chosen["accelerator"]], own)

    def _group(self, group: int, points: Numbers) -> Iterator[str]:
        space, chosen = self.space, self.space.chosen(group)
        machines, tables = np.divmod(points - group * space.group, len(space.energy))
        different, where = np.unique(machines, return_inverse=True)
        said = _said(tuple(chosen), tuple(chosen.values()))
        columns: list[list[Any]] = [points.tolist()]
        for axis, digit in zip(space.numeric, space.digits(machines), strict=True):
            texts = [_said(axis.keys, values) for values in axis.values]
            columns.append([texts[one] for one in digit.tolist()])
        try:
            machine = self.machine(chosen)
            names = [name or machine.energy for (name,) in space.energy.values]
            rows = [*self._metrics(machine, chosen, different)[:, tables, where]]
        except HwsimError as error:
            names = [name for (name,) in space.energy.values]
            rows, form = [], f'"refused": {_escaped(json.dumps(str(error)))}'
        else:
            form = ", ".join(f'"{name}": %.12g' for name in METRICS)
        columns.append([json.dumps(names[one]) for one in tables.tolist()])
        columns.extend(column.tolist() for column in rows)
        line = '{"point": %d, ' + _escaped(said) + ", %s" * len(space.numeric) + ', "energy": %s, ' + form + "}\n"
        yield from (line % row for row in zip(*columns, strict=True))

    def _metrics(self, machine: Accelerator, chosen: Mapping[str, Any], machines: Numbers) -> Reals:
        """The METRICS by energy table and by each of the `machines`: (metrics, tables, machines)."""
        columns = self.space.columns(machines)
        program = self.program(chosen["model"], chosen["bits"])
        tables = [self.tables[name or machine.energy] for (name,) in self.space.energy.values]
        if not columns:
            found, many = [machine], 1
        elif one_at_a_time(machine):
            rows = zip(*(column.tolist() for column in columns.values()), strict=True)
            found, many = [changed(machine, dict(zip(columns, row, strict=True))) for row in rows], 1
        else:
            found, many = [varied(machine, columns)], len(machines)
        numbers = np.concatenate([_numbers(program, one, many, chosen["batch"], tables) for one in found], axis=2)
        assert np.isfinite(numbers).all(), chosen  # or a line would be no JSON
        return numbers


def _numbers(program: Program, machine: Accelerator, many: int, batch: int, tables: Sequence[EnergyTable]) -> Reals:
    """(metrics, tables, configurations) of a machine that stands for so `many`."""
    found = evaluate(program, machine, batch=batch)
    parts = [found.parts[part] for part in PARTS]
    rows = [
        (
            found.latency,
            sum(found.energy(table).values()) / (batch * PICO),
            area_um2(machine, table),
            program.weight_bytes,
            found.fps,
            found.cycles,
            *parts,
            found.utilisation,
            found.dram_bytes,
        )
        for table in tables
    ]
    return np.array([[np.broadcast_to(one, many) for one in row] for row in rows], np.float64).swapaxes(0, 1)


def one_at_a_time(machine: Accelerator) -> bool:
    """Whether its model takes one configuration at a time."""
    return bool(machine.compat) or machine.pipeline is not None


def _said(keys: Sequence[str], values: Sequence[Any]) -> str:
    return ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in zip(keys, values, strict=True))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
