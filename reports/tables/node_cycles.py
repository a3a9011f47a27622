"""What the cycles of each node of a graph are spent on, in percent."""

from collections.abc import Iterator, Sequence

from hwsim.record import Record
from reports.estimates import BRIEF, PARTS, Case, shares
from reports.rows import bits, bits_label, number
from reports.table import Table, filled

_KEYS = {f"{part}_cycles": part for part in PARTS}


def node_cycles(records: Sequence[Record]) -> Table | None:
    """One row per estimate and node that takes cycles, in the graph's order; None where no nodes were estimated."""
    found: dict[Case, dict[str, dict[str, float]]] = {}
    roles: dict[str, str] = {}
    for r in records:
        if r.accelerator and r.tag("level") == "node" and r.metric in _KEYS:
            case = Case(r.workload, r.accelerator, bits(r), r.tag("batch", "1"))
            found.setdefault(case, {}).setdefault(r.node, {})[_KEYS[r.metric]] = number(r)
            roles[r.node] = r.tag("role")
    lines = [row for case, nodes in found.items() for row in _rows(case, nodes, roles)]
    if not lines:
        return None
    heads = ("Accelerator", "Bits", "Node", "Kind", "Cycles", "Of all, %", *(f"{head}, %" for head in BRIEF.values()))
    note = (
        "Every node that takes time, in the graph's order; the columns behind `Of all` are in percent of the row, rounded."
        " DRAM is put down to the product that waits for it; vector work that runs beside a product takes none."
    )
    return filled("Cycles node by node", heads, lines, lambda _: note, place=75, first=True)


def _rows(case: Case, nodes: dict[str, dict[str, float]], roles: dict[str, str]) -> Iterator[tuple[str, ...]]:
    whole = sum(sum(split.values()) for split in nodes.values()) or 1.0
    for name, split in nodes.items():
        cycles = sum(split.values())
        if cycles:
            yield (
                case.accelerator,
                bits_label(case.bits),
                name,
                roles[name],
                f"{cycles:,.0f}",
                f"{100 * cycles / whole:.2f}",
                *(f"{share:.1f}" for share in shares([split[part] for part in PARTS])),
            )
