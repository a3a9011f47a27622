"""What several verbs print: tables of the reports, and totals."""

from collections.abc import Iterable

from hwsim import catalog, console
from hwsim.record import Record


def print_tables(records: Iterable[Record], *names: str) -> None:
    """Print the report's tables called `names`, those for which there are records."""
    from reports.table import as_rich

    rows = tuple(records)
    for name in names:
        table = catalog.find("reports.tables", name)(rows)
        if table is not None:
            console.out().print(as_rich(table))


def print_findings(records: Iterable[Record]) -> None:
    """Print one line per claim: which reading comes near it, and what the documented rule gives."""
    from reports import prose

    for sentence in prose.findings(tuple(records)):
        console.say(sentence)


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
