"""`hwsim audit`: by which convention does a published figure come out?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._options import Abits, Ends, Json, Wbits, conventions_of, workload_of
from hwsim.cli._output import print_tables
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwsim.cost.work import Work
    from hwsim.record import Record
    from workloads.workload import Workload

EXAMPLE = "hwsim audit --speedup 6.14 --model deit_small_patch16_224 --wbits 4 --abits 4"

Model = Annotated[str, typer.Option("--model", help="A model or workload, see `hwsim list models`.")]
Speedup = Annotated[
    str | None, typer.Option("--speedup", metavar="X", help="Full precision over quantized, as printed.")
]
Ops = Annotated[str | None, typer.Option("--ops", metavar="G", help="Or operations in G, of the model at its bits.")]
Bitops = Annotated[str | None, typer.Option("--bitops", metavar="G", help="Or bit operations in G.")]
Size = Annotated[str | None, typer.Option("--size", metavar="MB", help="Or its size in MB.")]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance", help="Relative, 0.01 for one per cent; by default half of the last digit."),
]
Conventions = Annotated[
    list[str] | None, typer.Option("--convention", metavar="FILE.toml", help="A rule to search too; repeatable.")
]
GridFile = Annotated[Path | None, typer.Option("--grid", metavar="FILE.toml", help="Other values of the grid.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Kinds of readings to show; named ones always are.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of a report with the sensitivity drawn.")]


def audit(
    model: Model,
    speedup: Speedup = None,
    ops: Ops = None,
    bitops: Bitops = None,
    size: Size = None,
    wbits: Wbits = None,
    abits: Abits = None,
    ends: Ends = None,
    tolerance: Tolerance = None,
    convention: Conventions = None,
    grid: GridFile = None,
    limit: Limit = 8,
    out: Out = None,
    json: Json = None,
) -> None:
    """By which conventions a published figure comes out, the most plausible first; or that none gives it.

    All counting rules, with every combination of their options and of operations per element, on both sides of the ratio or
    on one, un-rounded or from rounded entries, are held against the figure. docs/audit.md says which, and what ranks them.
    """
    from hwsim.cost.search.figure import figure
    from hwsim.cost.search.findings import check_bits, check_rule, search
    from hwsim.cost.search.grid import Grid, read_grid
    from hwsim.cost.search.records import records
    from hwsim.cost.search.rules import shipped
    from hwsim.cost.sensitivity import sensitivity
    from hwsim.files import check_folder

    target = figure(*_one({"speedup": speedup, "ops": ops, "bitops": bitops, "size": size}), tolerance)
    values = read_grid(grid) if grid else Grid()
    given = conventions_of(convention or (), ())
    for rule in given:
        check_rule(target, rule)
    workload = workload_of(model, wbits, abits, ends)
    at = workload.bits
    check_bits(target, (at.weights, at.activations))
    if out:
        check_folder(out)
    forms = _forms(workload)
    rows, labels = traced(forms), {form.model.name: form.model.label for form in forms}
    rules = dict.fromkeys((*shipped(), *given))
    found = search(target, rows, rules, (at.weights, at.activations), at.ends, values)
    kept = records(found, labels, (at.weights, at.activations), limit)
    if json != "-":
        print_tables(kept, "audit")
    if out:
        if target.is_ratio:
            kept += sensitivity(rows, labels, (at.weights, at.activations), at.ends, grid=values, claimed=target.text)
        _report(kept, out)
    if json:
        console.write_json(json, kept, {"figure": str(target), "hits": found.hits, "readings": len(found.readings)})


def _one(given: dict[str, str | None]) -> tuple[str, str]:
    """The one figure that is given; raises HwsimError where there is none, or more."""
    figures = [(kind, text) for kind, text in given.items() if text is not None]
    if len(figures) != 1:
        got = ", ".join(f"--{kind}" for kind, _ in figures) or "none"
        raise HwsimError(f"audit: one figure is needed, got {got}; give --speedup, --ops, --bitops or --size")
    return figures[0]


def _forms(workload: "Workload") -> "list[Workload]":
    """The workload, and that of the distilled form of its model, which released code may build instead."""
    import dataclasses

    from hwsim.cost.audit import distilled
    from workloads import models

    other = distilled(workload.model.name)
    if other not in models.names() or other == workload.model.name:
        return [workload]
    return [workload, dataclasses.replace(workload, name=f"{other}_{workload.bits.name}", model=models.find(other))]


def traced(forms: "Sequence[Workload]") -> "dict[str, tuple[Work, ...]]":
    """Rows of work of each model; traced at W4A4, from which they are priced at any bits."""
    import dataclasses

    from qmodels.outline import rows_of
    from workloads.bits import Bits

    rows = {}
    with console.progress("tracing models") as advance:
        for index, form in enumerate(forms):
            advance(index, len(forms))
            rows[form.model.name] = rows_of(dataclasses.replace(form, bits=Bits(4, 4)))
        advance(len(forms), len(forms))
    return rows


def _report(records: "list[Record]", out: Path) -> None:
    from reports.report import write_report

    files = write_report(records, out)
    console.say(f"{len(files)} files in {out}: open {out / 'report.html'}")
