"""`hwsim verify`: fake quant against integers."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim import console
from hwsim.cli._options import Json, Threads
from hwsim.cli._output import print_tables, total

EXAMPLE = "hwsim verify my_w4a4.safetensors --limit 100"


def verify(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of `hwsim train`.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder ROOT/SPLIT/CLASS/IMAGE; digits need none.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which images.")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many images.")] = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """Fake quant against integers, code by code; exit code 1 where a code differs in float64."""
    import workloads
    from qmodels import checkpoint as checkpoints
    from qmodels import evidence

    found = workloads.find(checkpoints.read(checkpoint)[1]["workload"])
    with console.progress("verify") as advance:
        records = list(
            evidence.agreement(
                found, checkpoint, root=data, limit=limit, split=split, threads=threads, progress=advance
            )
        )
    if json != "-":
        print_tables(records, "agreement")
    differ = total(records, "codes_mismatched", dtype="float64")
    if json:
        console.write_json(json, records, {"workload": found.name, "mismatched_float64": differ})
    if differ:
        raise typer.Exit(1)
