"""`hwsim report`: tables and figures again."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim import console

EXAMPLE = "hwsim report out/q-vit/records.jsonl --out out/again"


def report(
    records: Annotated[Path, typer.Argument(help="A records.jsonl file, or a folder of such files, as a suite makes.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
) -> None:
    """Tables and figures again, from stored records."""
    from hwsim.errors import BadFile
    from hwsim.record import read_folder, read_records
    from reports.report import write_report

    rows = read_folder(records) if records.is_dir() else read_records(records)
    if not rows:
        raise BadFile(f"{records}: must hold records, got none; write them with `hwsim reproduce`")
    files = write_report(rows, out)
    console.say(f"{len(files)} files in {out}: open {out / 'report.html'}")
