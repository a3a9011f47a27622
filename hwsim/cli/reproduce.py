"""`hwsim reproduce`: the main job."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim import console
from hwsim.cli._options import Json, Threads
from hwsim.cli._output import print_findings, print_tables, total, versions
from hwsim.record import Record

EXAMPLE = "hwsim reproduce --out out/q-vit"
SUITE = "q-vit"
WIDTHS = (32, 4, 3, 2)


def reproduce(
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    suite: Annotated[str, typer.Argument(help="What to reproduce.")] = SUITE,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """The main job: audit the paper's claims, compare integers with fake quant on real images, write a report."""
    import workloads
    from hwsim.catalog import unknown
    from hwsim.cost import audit
    from hwsim.files import check_folder
    from qmodels import evidence
    from reports.report import write_report

    if suite != SUITE:
        raise unknown("suite", suite, (SUITE,))
    check_folder(out)
    start = time.perf_counter()
    records: list[Record] = []
    with console.progress("tracing models") as advance:
        rows = _suite_rows(audit.needed(), records, advance)
    records += audit.audit_qvit(rows)
    records.append(_seconds("tracing and costs", start))
    for name in ("digits_w4a4", "digits_w2a2"):
        began = time.perf_counter()
        with console.progress(f"{name}: integers against fake quant") as advance:
            records += evidence.agreement(workloads.find(name), threads=threads, progress=advance)
        records.append(_seconds(name, began))
    records += versions()
    records.append(_seconds("total before the report", start))
    files = write_report(records, out)
    differ = total(records, "codes_mismatched", dtype="float64")
    compared = total(records, "codes_compared", dtype="float64")
    if json != "-":
        print_tables(records, "claims", "agreement")
        print_findings(records)
        console.say(f"{differ:,.0f} of {compared:,.0f} codes differ between integers and fake quant in float64.")
        console.say(
            f"{len(files)} files in {out} ({time.perf_counter() - start:.0f} s in all): open {out / 'report.html'}"
        )
    if json:
        console.write_json(json, records, {"suite": suite, "out": str(out), "mismatched_float64": differ})
    if differ:
        raise typer.Exit(1)


def _suite_rows(names: tuple[str, ...], records: list[Record], advance: console.Advance) -> dict[str, Any]:
    """Rows of work of each model, traced once at W4A4; the costs of those that are not distilled go to `records`."""
    import workloads
    from hwsim.cost.memory import peak_activations
    from hwsim.cost.overview import overview
    from hwsim.cost.work import work
    from qmodels import evidence

    rows: dict[str, Any] = {}
    for index, name in enumerate(names):
        advance(index, len(names))
        workload = workloads.find(f"{name}_w4a4")
        graph = evidence.skeleton_of(workload)
        rows[name] = work(graph)
        if "distilled" not in name:
            records += overview(name, workload.model.label, rows[name], WIDTHS, peak_activations(graph), 4)
    advance(len(names), len(names))
    return rows


def _seconds(stage: str, start: float) -> Record:
    return Record("reproduce", "seconds", round(time.perf_counter() - start, 2), "s", node=stage, source="measured")
