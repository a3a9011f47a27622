"""What this run took, stage by stage, and with which versions."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import number, select
from reports.table import Table


def run(records: Sequence[Record]) -> Table | None:
    """One row per stage and per version; None where neither was recorded."""
    stages = [
        (r.node or "total", f"{number(r):.2f} s") for r in select(records, "seconds") if r.workload == "reproduce"
    ]
    versions = [(r.node or r.workload, str(r.value)) for r in select(records, "version")]
    lines = (*stages, *versions)
    return Table("This run", ("Stage or part", "Time or version"), lines, place=90) if lines else None
