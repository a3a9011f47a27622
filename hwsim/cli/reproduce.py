"""`hwsim reproduce`: a suite of experiments, and its report."""

import time
from pathlib import Path
from typing import Annotated

import typer

from hwsim import console
from hwsim.cli import _suites
from hwsim.cli._options import Json, Threads
from hwsim.cli._output import print_tables, versions

EXAMPLE = "hwsim reproduce --out out/q-vit"
SUITE = "q-vit"


def reproduce(
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    suite: Annotated[str, typer.Argument(help=f"What to reproduce: {', '.join(_suites.names())}.")] = SUITE,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many test images of each data set.")
    ] = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """A suite of experiments, and a report of it: tables, figures, and records to make them again.

    q-vit, the main job, audits the paper's claims and compares integers with fake quant on real images; integer shows
    what the integer form costs: recipes, widths, and how far each nonlinearity is from its float function.
    """
    from hwsim.cli._suites._suite import Options, seconds
    from hwsim.files import check_folder
    from reports.report import write_report

    check_folder(out)
    start = time.perf_counter()
    run = _suites.find(suite)
    found = run(Options(limit, threads))
    records = [*found.records, *versions(), seconds("total before the report", start)]
    files = write_report(records, out)
    if json != "-":
        print_tables(records, *found.tables)
        for sentence in found.said:
            console.say(sentence)
        console.say(
            f"{len(files)} files in {out} ({time.perf_counter() - start:.0f} s in all): open {out / 'report.html'}"
        )
    if json:
        console.write_json(json, records, {"suite": suite, "out": str(out), **found.summary})
    if found.failed:
        raise typer.Exit(1)
