"""What `hwsim estimate` asks of a model: its program at the widths asked for, and what it is held against."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hwsim.accel.accelerator import Accelerator
from hwsim.accel.activity import Activity
from hwsim.accel.energy import EnergyTable
from hwsim.accel.estimate import Estimate
from hwsim.accel.evaluation import evaluate, float32
from hwsim.accel.layer_bits import LayerBits
from hwsim.accel.program import Program, program
from hwsim.accel.records import Recorder
from hwsim.cli._options import need_no_widths, workload_at_8_bits, workload_of
from hwsim.cost.groups import ENDS
from hwsim.cost.table import speedup
from hwsim.errors import HwsimError
from hwsim.record import Record
from hwsim.spec import FLOAT_BITS
from workloads import claims

PAPER = ("qvit_table", "bireal_ladder", "bitops_wa")
"""Counting rules whose theoretical speedups stand beside a machine's; the first is Q-ViT's own, as inferred."""
BYTE = 8
FLOATS = "In floats: one MAC of 32-bit floats per PE and cycle, values of 32 bits (docs/estimates.md)."


@dataclass
class Asked:
    """A model at some widths. traced: it came from a model, whose other widths are known, not from a graph file.
    measured: where the activity of its codes is from, "" for none."""

    model: str
    title: str
    program: Program
    tags: dict[str, str]
    traced: bool = True
    measured: str = ""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, model: str, widths: tuple[int | None, int | None, int | None], bits: Path | None) -> "Asked":
        """The model or graph file called `model`; raises HwsimError, also for widths beside what fixes them."""
        if bits:
            need_no_widths(widths, f"the file {bits}")
        if Path(model).is_file():
            need_no_widths(widths, f"the graph file {model}")
            return cls._of_file(Path(model), bits)
        from qmodels import evidence

        workload = workload_of(model, *widths)
        found, (wbits, abits) = workload.bits, (workload.bits.weights, workload.bits.activations)
        whole = program(evidence.skeleton_of(workload))
        title = f"{workload.model.label} {found}"
        if bits:
            tags = dict.fromkeys(("wbits", "abits"), "mixed")
            return cls(model, f"{workload.model.label}, bits of {bits.name}", _mixed(whole, bits), tags)
        return cls(model, title, whole, {"wbits": str(wbits), "abits": str(abits)})

    @classmethod
    def _of_file(cls, path: Path, bits: Path | None) -> "Asked":
        from hwsim import store

        graph = store.load(path)
        whole = program(graph) if bits is None else _mixed(program(graph), bits)
        body = {pair for node, pair in whole.widths.items() if whole.groups[node] not in ENDS}
        common = body.pop() if len(body) == 1 else ("mixed", "mixed")
        tags = {"abits": str(common[0]), "wbits": str(common[1])}
        note = "A graph file is priced as it is: no other widths beside it, since those are known of models alone."
        return cls(graph.name, graph.name, whole, tags, traced=False, notes=[note])

    @cached_property
    def baselines(self) -> dict[str, Program]:
        """The same model at 8 bits and in floats, where they are known; no 8 bits beside floats or 8 bits."""
        found = {}
        if self.traced:
            if all(FLOAT_BITS not in pair for pair in self.program.widths.values()):
                found["int8"] = self.program.at(BYTE, BYTE, BYTE)
            found["float32"] = self.program.at(FLOAT_BITS, FLOAT_BITS, FLOAT_BITS)
        return found

    def on(self, machine: Accelerator, batch: int, activity: Activity | None) -> Estimate:
        """The estimate on a machine; a model in floats is taken to the machine of float32 PEs, and a note says so."""
        floats = all(pair == (FLOAT_BITS, FLOAT_BITS) for pair in self.program.widths.values())
        if floats:
            self.notes = [FLOATS]
        return evaluate(self.program, float32(machine) if floats else machine, batch=batch, activity=activity)

    def records(self, found: Estimate, tables: Sequence[EnergyTable], nodes: bool) -> Iterator[Record]:
        """Those of an estimate, and its speedups."""
        measured = {"activity": self.measured} if self.measured else {}
        recorder = Recorder(found, self.model, self.tags | measured)
        yield from recorder.all(tables, nodes)
        for over, other in self.baselines.items():
            if over == "float32" and (found.accelerator.compat or found.accelerator.pipeline):
                continue  # a tool that knows no floats, units that are built for codes
            machine = float32(found.accelerator) if over == "float32" else found.accelerator
            yield from recorder.speedups(evaluate(other, machine, batch=found.batch), over)

    def on_paper(self) -> Iterator[Record]:
        """Theoretical speedups over floats by the rules of PAPER that define these widths."""
        if not self.traced or self.tags["wbits"] == "mixed":
            return
        for name in PAPER:
            try:
                ratio = speedup(self.program.rows, name)
            except HwsimError:
                continue
            claim = self._claimed(name)
            tags = {**self.tags, "convention": name} | ({"claim": claim} if claim else {})
            yield Record(self.model, "paper_speedup", ratio, "x", source="inferred", tags=tuple(tags.items()))

    def _claimed(self, convention: str) -> str:
        """The speedup that a paper prints of this model at these widths, as counted by this rule; "" where none does."""
        wanted = (self.model, "theoretical_speedup", convention, self.tags["wbits"], self.tags["abits"])
        found = (c for c in claims.shipped() if (c.of, c.metric, c.rule.partition(" ")[0], c.wbits, c.abits) == wanted)
        return next((str(claim) for claim in found), "")


def at_8_bits(model: str) -> Program:
    """The program of a model or workload at 8 bits, or of a graph file as it is; raises HwsimError."""
    if Path(model).is_file():
        from hwsim import store

        return program(store.load(Path(model)))
    from qmodels import evidence

    return program(evidence.skeleton_of(workload_at_8_bits(model)))


def _mixed(whole: Program, bits: Path) -> Program:
    return whole.mixed(LayerBits.read(bits).resolve(whole.products))
