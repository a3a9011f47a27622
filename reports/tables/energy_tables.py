"""Energy by component under each energy table, and how far the tables are apart."""

from collections.abc import Iterator, Mapping, Sequence

from hwsim.record import Record
from reports.estimates import COMPONENTS, Case, cases, elsewhere, energies, shown, usual, value, without_leakage
from reports.rows import label
from reports.table import Table, filled


def energy_tables(records: Sequence[Record]) -> Table | None:
    """One row per accelerator and energy table of the first workload, at one width; None where nothing was priced."""
    every = cases(records)
    found = shown({case: rows for case, rows in every.items() if energies(rows)})
    if not found:
        return None
    priced = {case: energies(found[case]) for case in usual(found)}
    bounds = without_leakage(found[case] for case in priced)
    lines = [
        (str(case), name, *_amounts(by, name in bounds), _delayed(by["total"], found[case]))
        for case, tables in priced.items()
        for name, by in tables.items()
    ]
    heads = ("Accelerator", "Energy table", *COMPONENTS.values(), "total", "EDP, mJ ms")
    first = next(iter(priced))
    note = (
        f"{label(first.workload, records)}, batch {first.batch}: energy of one image. EDP: energy-delay product, the total"
        " x latency. Between the"
        f" table that gives most and the one that gives least: {', '.join(map(_spread, priced, priced.values()))}."
        f"{' -: the source of the table has no leakage, its total is then a lower bound.' if bounds else ''}"
        f"{elsewhere(every, priced, records)}"
    )
    return filled("Energy under each energy table, mJ", heads, lines, lambda _: note, place=78, first=True)


def _amounts(by: Mapping[str, float], bound: bool) -> Iterator[str]:
    """Each component and the total; of a total that is a lower `bound`, leakage is not known."""
    for part in (*COMPONENTS, "total"):
        yield "-" if bound and part == "leakage" else f"{by[part]:.4g}"


def _delayed(energy: float, rows: Sequence[Record]) -> str:
    latency = value(rows, "latency")
    return "" if latency is None else f"{energy * latency:.4g}"


def _spread(case: Case, tables: Mapping[str, Mapping[str, float]]) -> str:
    totals = [by["total"] for by in tables.values()]
    return f"{max(totals) / min(totals):.1f}x ({case})" if min(totals) > 0 else f"no ratio ({case})"
