"""`hwsim agreement`: accelerators against what was published of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim import console
from hwsim.cli._options import Json
from hwsim.cli._output import print_tables
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.accel.program import Program
    from hwsim.record import Record

EXAMPLE = "hwsim agreement vitcod hg_pipe"


def agreement(
    accelerators: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|FILE.toml]...", help="All of the catalogue by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of a report with the figure.")] = None,
    json: Json = None,
) -> None:
    """Prediction against publication: every figure that an accelerator's file states, ours beside it, and whether it is
    where it should be. Exit code 1 where one lies outside its band.
    """
    from hwsim.accel import accelerator as catalogue
    from hwsim.accel.agreement import agreement as compare
    from hwsim.files import check_folder

    machines = [catalogue.find(name) for name in accelerators or catalogue.names()]
    if accelerators and not any(machine.published for machine in machines):
        raise HwsimError(
            f"agreement: an accelerator must state published figures, got none of {', '.join(accelerators)}; "
            "add [[published]] to its file"
        )
    if out:
        check_folder(out)
    records: list[Record] = []
    program_at = _programs()
    with console.progress("estimating") as advance:
        for done, machine in enumerate(machines):
            advance(done, len(machines))
            records += compare(machine, program_at)
        advance(len(machines), len(machines))
    outside = _outside(records)
    if json != "-":
        print_tables(records, "published_agreement")
    if out:
        from reports.report import write_report

        files = write_report(records, out)
        if json != "-":
            console.say(f"{len(files)} files in {out}: open {out / 'report.html'}")
    if json:
        console.write_json(json, records, {"outside": outside})
    if outside:
        raise typer.Exit(1)


class _programs:  # noqa: N801 (a function with a memory)
    """The program of a model at given bits, each model traced once."""

    def __init__(self) -> None:
        self.known: dict[str, Program] = {}

    def __call__(self, model: str, wbits: int, abits: int) -> "Program":
        from hwsim.accel.program import program
        from hwsim.cli._options import workload_at_8_bits
        from qmodels import evidence

        if model not in self.known:
            self.known[model] = program(evidence.skeleton_of(workload_at_8_bits(model)))
        return self.known[model].at(wbits, abits)


def _outside(records: "list[Record]") -> list[str]:
    """The figures whose prediction lies outside their band."""
    from reports.predictions import predictions

    return [f"{p.accelerator}: {p.record.tag('quantity')}" for p in predictions(records) if p.verdict == "outside"]
