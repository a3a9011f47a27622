"""`hwsim sweep`: a design space, priced point by point, and its Pareto fronts."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._options import SCALE, Json, Scheduler, workload_at_8_bits
from hwsim.cli._output import print_tables
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.accel.program import Program
    from hwsim.accel.sweep.fronts import Fronts
    from hwsim.accel.sweep.run import Call, Sweep

EXAMPLE = "hwsim sweep examples/sweep_deit_small.toml --out sweep.jsonl"
ENGINES = ("local", "loky", "dask", "ray")


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="What to try, see docs/sweep.md.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.jsonl", help="Results, one line per point; SPEC.jsonl here. Resumed if there."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="local (this process, the default), loky (processes), dask or ray (a cluster).",
            rich_help_panel=SCALE,
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Workers; as many as cores.", rich_help_panel=SCALE)
    ] = None,
    scheduler: Scheduler = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Folder of a report with the fronts drawn.")
    ] = None,
    json: Json = None,
) -> None:
    """Price every point of a design space; show which of them no other beats.

    Results are appended as they come. A run that was stopped or killed goes on where it was when the same command is
    given again.
    """
    from hwsim.accel.sweep import fronts as best
    from hwsim.accel.sweep.run import sweep_of
    from hwsim.accel.sweep.spec import read
    from hwsim.files import check_folder, check_writable

    target = out or Path(f"{spec.stem}.jsonl")
    check_writable(target)
    if report:
        check_folder(report)
    call = _call(engine, jobs, scheduler)
    content, space = read(spec)
    ready = sweep_of(content, space, _traced(content.models))
    _run(ready, target, call)
    found = best.fronts(ready, target)
    records = best.records(ready, found)
    if json != "-":
        print_tables(records, "pareto_front")
        _say(ready, found, target)
    if report:
        from reports.report import write_report

        files = write_report(records, report)
        console.say(f"{len(files)} files in {report}: open {report / 'report.html'}")
    if json:
        sizes = [{"compete": one.points, "best": len(one.best)} for one in found.fronts]
        summary = {"points": len(ready.points), "results": str(target), "fronts": sizes, "refused": dict(found.refused)}
        console.write_json(json, records, summary)


def _call(engine: str | None, jobs: int | None, scheduler: str | None) -> "Call | None":
    """What hands the work out; None is this process. Raises HwsimError."""
    from hwsim.catalog import unknown

    engine = engine or ("local" if jobs is None and scheduler is None else "loky")
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine == "local" and jobs is not None:
        raise HwsimError("jobs: are of the engines loky, dask and ray, got local; give --engine")
    if engine in ("local", "loky") and scheduler is not None:
        raise HwsimError(f"scheduler: is of the engines dask and ray, got {engine}; give --engine")
    if engine == "local":
        return None
    from qmodels.backends import Workers

    call: Call = Workers(jobs or max(2, os.cpu_count() or 1), engine, scheduler).results
    return call


def _traced(models: tuple[str, ...]) -> "dict[str, Program]":
    """The programs of models, at 8 bits from which they come at all others, and of graph files."""
    from hwsim import store
    from hwsim.accel.program import program

    files = {name: program(store.load(Path(name))) for name in models if Path(name).is_file()}
    workloads = {name: workload_at_8_bits(name) for name in models if name not in files}
    programs = {}
    with console.progress("tracing models") as advance:
        for index, (name, workload) in enumerate(workloads.items()):
            from qmodels import evidence

            advance(index, len(workloads))
            programs[name] = program(evidence.skeleton_of(workload))
    return files | programs


def _run(ready: "Sweep", target: Path, call: "Call | None") -> None:
    """Price the points that are not there yet; Ctrl-C says what is."""
    from hwsim.accel.sweep.run import results_of, run

    with results_of(ready, target) as results:
        if results.done:
            print(f"resume: {results.done:,} of {len(ready.points):,} points are there", file=sys.stderr)
        try:
            with console.progress("sweep") as advance:
                run(ready, results, call=call, progress=advance)
        except KeyboardInterrupt:
            raise HwsimError(
                f"interrupted; {results.done:,} of {len(ready.points):,} points are in {target}, the same command goes on "
                "from there"
            ) from None


def _say(ready: "Sweep", found: "Fronts", target: Path) -> None:
    best = sum(len(one.best) for one in found.fronts)
    fronts = "1 front" if len(found.fronts) == 1 else f"{len(found.fronts)} fronts"
    console.say(f"{len(ready.points):,} points in {target}: {best:,} of them on {fronts} of {_objectives(ready)}")
    for reason, points in found.refused.items():
        console.say(f"refused {points:,}: {reason}")


def _objectives(ready: "Sweep") -> str:
    return ", ".join(ready.spec.objectives)
