"""MACs of each model by group of layers, exact to the thousand."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.groups import macs_by_group, ordered_groups
from reports.rows import label, number, select
from reports.table import Table


def groups(records: Sequence[Record]) -> Table | None:
    """One row per group, one column per model, in millions of MACs; None where no group was counted."""
    by_model = macs_by_group(records)
    if not by_model:
        return None
    lines = [
        (group, *(f"{by_group.get(group, 0) / 1e6:,.3f}" for by_group in by_model.values()))
        for group in ordered_groups(by_model)
    ]
    totals = {r.workload: f"{number(r) / 1e6:,.3f}" for r in reversed(select(records, "macs", node=""))}
    return Table(
        "MACs per group of layers",
        ("MMAC", *(label(workload, records) for workload in by_model)),
        (*lines, ("total", *(totals.get(workload, "") for workload in by_model))),
        "Millions of multiply-accumulates for one image, convention macs, attention products (qk, av) included.",
        place=30,
    )
