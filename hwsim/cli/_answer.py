"""What `hwsim verify` answers: tables, the records, JSON, the file of the first divergence, and what failed."""

import sys
from collections import Counter
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hwsim import console
from hwsim.cli._output import print_table, print_tables, total
from hwsim.record import Record

if TYPE_CHECKING:
    from hwsim.lower.report import Verdict
    from qmodels.evidence import Evidence

WORST = 8
"""Nodes that are shown unless all are asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`evidence` with the limits that it exceeds, a verdict per node where asked for, where the divergence is kept, and
    where that was `asked` for."""

    evidence: "Evidence"
    failures: tuple[str, ...]
    verdicts: tuple["Verdict", ...] = ()
    kept: Path | None = None
    asked: Path | None = None

    def records(self) -> list[Record]:
        """Every number."""
        name, tags = self.evidence.subject.workload.name, self.evidence.tags
        distances = [
            Record(name, "distance_max", v.distance_max, "real", v.node, source="measured", tags=(*tags, ("op", v.op)))
            for v in self.verdicts
            if v.distance_max is not None
        ]
        return [*self.evidence.records(), *distances]

    def summary(self) -> dict[str, Any]:
        """What machines ask first; the records hold the numbers."""
        subject, arithmetic = self.evidence.subject, self.evidence.arithmetic
        divergence = self.evidence.report.divergence
        found: dict[str, Any] = {
            "workload": subject.workload.name,
            "form": subject.form,
            "recipe": subject.recipe or None,
            "what_if": str(arithmetic.what_if) if arithmetic else None,
            "mismatched_float64": total(self.evidence.records(), "codes_mismatched", dtype="float64"),
            "divergence": {**divergence.place(), "file": str(self.kept) if self.kept else None} if divergence else None,
            "failures": list(self.failures),
        }
        return found | ({"nodes": [asdict(verdict) for verdict in self.verdicts]} if self.verdicts else {})

    def show(self, per_node: bool) -> None:
        """Print the summary, the nodes that are worst or all of them, the verdicts, and the divergence."""
        rows = self.records()
        print_tables(rows, "agreement")
        compared = any(self.evidence.report.modes.values())
        if not compared and self.evidence.subject.other_grids:
            console.say("No codes are compared: power-of-two scales make other grids; only reals are compared.")
        worst = self._worst()
        print_tables([r for r in rows if per_node or not r.node or r.node in worst], "nodes", "accumulators")
        if worst and not per_node:
            console.say("These nodes are the worst; --per-node shows all.")
        if self.verdicts:
            self._show_verdicts()
        divergence = self.evidence.report.divergence
        if divergence:
            where = f"its inputs are in {self.kept}" if self.kept else "--save-divergence FILE keeps its inputs"
            console.say(f"{divergence}; {where}")
        elif self.asked:
            console.say(f"{'no code differs' if compared else 'no code is compared'}; {self.asked} was not written")

    def tell_failures(self) -> None:
        """Print one line per exceeded limit to stderr; exit with 1 if there is one."""
        for line in self.failures:
            print(f"failed: {line}", file=sys.stderr)
        if self.failures:
            raise typer.Exit(1)

    def _worst(self) -> set[str]:
        """The quantizers whose reals are farthest off, and the nodes that overflow or were hit most."""
        far = sorted((n for n in self.evidence.report.reals if isfinite(n.sqnr_db)), key=lambda n: n.sqnr_db)
        names = {node.node for node in far[:WORST]}
        if self.evidence.arithmetic:
            over = {name: found.overflowed for name, found in self.evidence.arithmetic.overflows.items()}
            for counts in (over, dict(self.evidence.arithmetic.flips)):
                names.update(name for name, count in Counter(counts).most_common(WORST) if count)
        return names

    def _show_verdicts(self) -> None:
        from reports.table import Table

        def row(v: "Verdict") -> tuple[str, ...]:
            far = "" if v.distance_steps is None else f"{v.distance_steps:.3g} steps"
            return v.node, v.op, v.kind.replace("_", " "), v.detail, far

        columns = ("Node", "Operator", "Is", "How", "Off by at most")
        print_table(Table("Is it really integer?", columns, tuple(map(row, self.verdicts))))
        kinds = Counter(v.kind.replace("_", " ") for v in self.verdicts)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        console.say(f"{len(self.verdicts)} nodes: {counted}.")
