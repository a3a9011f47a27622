"""An estimate of one configuration as records: totals, groups of layers, nodes; energy under each table; speedups."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from hwsim.accel.area import area_um2
from hwsim.accel.energy import EnergyTable
from hwsim.accel.estimate import COMPONENTS, PARTS, Cost, Estimate
from hwsim.accel.gap import speedups
from hwsim.accel.traffic import bits_per_cycle
from hwsim.record import Record

PJ_PER_MJ = 1e9
UM2_PER_MM2 = 1e6
Tags = Mapping[str, str]


class Recorder:
    """Records of one estimate: all have the workload, the machine's name and the tags `wbits`, `abits`, `batch`."""

    def __init__(self, estimate: Estimate, workload: str, tags: Tags) -> None:
        self.estimate, self.workload = estimate, workload
        self.tags = {**tags, "batch": str(estimate.batch)}

    def record(self, metric: str, value: object, unit: str, node: str = "", **tags: str) -> Record:
        """One record."""
        number = float(np.asarray(value))
        name = self.estimate.accelerator.name
        whole = int(number) if unit in ("MAC",) else number
        return Record(self.workload, metric, whole, unit, node, name, "computed", tuple({**self.tags, **tags}.items()))

    def all(self, tables: Sequence[EnergyTable], nodes: bool = False) -> Iterator[Record]:
        """Totals, energy of an image, groups, the roof, what the vector unit does; with `nodes` each node of the graph."""
        one = self.estimate
        yield from self._parts(one.parts)
        yield self.record("macs", one.macs, "MAC")
        yield self.record("dram_bytes", one.dram_bytes, "B")
        yield self.record("latency", one.latency * 1e3, "ms")
        yield self.record("fps", one.fps, "frames/s")
        yield self.record("utilisation", one.utilisation, "fraction")
        yield from self._intensity(one.macs, float(one.dram_bytes))
        yield self.record("bandwidth", bits_per_cycle(one.accelerator) / 8, "B/cycle")
        yield from self._peaks()
        for table in tables:
            yield from self._energy(one.energy(table), table)
            area = np.asarray(area_um2(one.accelerator, table)) / UM2_PER_MM2
            yield self.record("area", area, "mm2", table=table.name)
        yield from self._vector()
        for name, cycles in one.units.items():
            yield self.record("unit_cycles", cycles, "cycles", name, level="unit")
        for group, costs in by_group(one.costs).items():
            yield from self._group(group, costs, tables)
        if nodes:
            for node, role, parts, dram, _ in one.nodes():
                yield from self._parts(parts, node, level="node", role=role)
                yield self.record("dram_bytes", dram, "B", node, level="node", role=role)

    def speedups(self, baseline: Estimate, over: str) -> Iterator[Record]:
        """Those over another estimate of the same images, step by step."""
        for step, ratio in speedups(self.estimate, baseline).items():
            yield self.record("speedup", ratio, "x", over=over, step=step)

    def _parts(self, parts: Mapping[str, object], node: str = "", **tags: str) -> Iterator[Record]:
        yield self.record("cycles", sum(float(np.asarray(value)) for value in parts.values()), "cycles", node, **tags)
        for part in PARTS:
            yield self.record(f"{part}_cycles", parts[part], "cycles", node, **tags)

    def _intensity(self, macs: int, dram_bytes: float, node: str = "", **tags: str) -> Iterator[Record]:
        if dram_bytes:
            yield self.record("intensity", macs / dram_bytes, "MAC/B", node, **tags)

    def _peaks(self) -> Iterator[Record]:
        """The most MACs per cycle, at the widths of the body where it has one pair of them."""
        machine = self.estimate.accelerator
        if not self.tags["wbits"].isdigit():
            return
        wbits, abits = int(self.tags["wbits"]), int(self.tags["abits"])
        pes = machine.pes
        if machine.pipeline is not None:
            units = machine.pipeline.units
            pes = sum(
                cost.stage.times * units[cost.stage.group].m * units[cost.stage.group].k * units[cost.stage.group].n
                for cost in self.estimate.costs
            )
        rate = machine.precision.peak(abits, wbits)
        yield self.record("peak", pes * (min(1.0, rate) if machine.pipeline is not None else rate), "MAC/cycle")

    def _energy(
        self, energy: Mapping[str, object], table: EnergyTable, node: str = "", **tags: str
    ) -> Iterator[Record]:
        """Millijoules of an image by component, and of all that there are; tagged where the table knows no leakage."""
        images = PJ_PER_MJ * self.estimate.batch
        found = {name: float(np.asarray(energy[name])) / images for name in COMPONENTS if name in energy}
        tags |= {"table": table.name} | ({} if table.leak else {"leakage": "none"})
        for name, value in {**found, "total": sum(found.values())}.items():
            yield self.record("energy", value, "mJ", node, component=name, **tags)

    def _vector(self) -> Iterator[Record]:
        """What the vector unit does, by the role of the work: how long it is busy, and how long the arrays wait for it."""
        busy: defaultdict[str, float] = defaultdict(float)
        waits: defaultdict[str, float] = defaultdict(float)
        for _, role, parts, _, own in self.estimate.nodes():
            busy[role] += own
            waits[role] += parts["vector"]
        for role in busy:
            if busy[role]:
                yield self.record("busy_cycles", busy[role], "cycles", role, level="role")
                yield self.record("vector_cycles", waits[role], "cycles", role, level="role")

    def _group(self, group: str, costs: Sequence[Cost], tables: Sequence[EnergyTable]) -> Iterator[Record]:
        parts = {part: sum(float(cost.parts[part]) * cost.stage.times for cost in costs) for part in PARTS}
        macs = sum(cost.macs * cost.stage.times for cost in costs)
        moved = sum(float(cost.dram_bytes) * cost.stage.times for cost in costs)
        yield from self._parts(parts, group, level="group")
        yield self.record("macs", macs, "MAC", group, level="group")
        yield self.record("dram_bytes", moved, "B", group, level="group")
        cycles = sum(parts.values())
        yield self.record("utilisation", parts["useful"] / cycles, "fraction", group, level="group")
        machine, widths = self.estimate.accelerator, {(c.stage.gemm.a_bits, c.stage.gemm.b_bits) for c in costs}
        if len(widths) == 1 and machine.pipeline is None:
            [(a_bits, w_bits)] = widths
            rate, at = machine.precision.peak(a_bits, w_bits), {"a_bits": str(a_bits), "w_bits": str(w_bits)}
            yield self.record("peak", rate * machine.pes, "MAC/cycle", group, level="group", **at)
        yield from self._intensity(macs, moved, group, level="group")
        for table in tables:
            energy: dict[str, float] = {}
            for cost in costs:
                for name, value in self.estimate.energy_of(cost, table).items():
                    energy[name] = energy.get(name, 0.0) + cost.stage.times * float(np.asarray(value))
            energy["leakage"] = (
                float(np.asarray(self.estimate.energy(table)["leakage"])) * cycles / float(self.estimate.cycles)
            )
            yield from self._energy(energy, table, group, level="group")


def by_group(costs: Iterable[Cost]) -> dict[str, list[Cost]]:
    """The costs of each group of layers, in network order."""
    groups: dict[str, list[Cost]] = {}
    for cost in costs:
        groups.setdefault(cost.stage.group, []).append(cost)
    return groups
