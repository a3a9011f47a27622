"""What several verbs print: tables of the reports, and totals."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hwsim import catalog, console
from hwsim.record import Record

if TYPE_CHECKING:
    from reports.table import Table


def print_tables(records: Iterable[Record], *names: str) -> None:
    """Print the report's tables called `names`, those for which there are records."""
    rows = tuple(records)
    for name in names:
        table = catalog.find("reports.tables", name)(rows)
        if table is not None:
            print_table(table)


def print_table(table: "Table") -> None:
    """Print one table, its title and note as wide as the screen instead of as the table."""
    from reports.table import as_rich

    shown = as_rich(table)
    shown.title = shown.caption = None
    console.say(table.title)
    console.out().print(shown)
    if table.note:
        console.out().print(f"{table.note}\n", markup=False)


def total(records: Iterable[Record], metric: str, **tags: str) -> int:
    """The sum of the counts `metric` with these tags, over whole models."""
    chosen = (r for r in records if r.metric == metric and all(r.tag(k) == v for k, v in tags.items()))
    return sum(int(r.value) for r in chosen)


def versions() -> list[Record]:
    """One record per package that a result depends on."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("hwsim", "torch", "timm", "numba", "numpy", "scikit-learn"):
        try:
            found.append(Record("reproduce", "version", version(name), "", node=name, source="measured"))
        except PackageNotFoundError:
            continue
    return found
