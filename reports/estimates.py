"""Reading the records of accelerator estimates: the cases estimated, which of them figures draw, and what they consist of."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.record import Record
from reports.groups import ordered_groups
from reports.rows import Bits, bits, bits_label, label, number, select

PARTS = {
    "useful": "useful work",
    "mapping": "mapping loss",
    "fill": "fill and drain",
    "port": "SRAM port",
    "dram": "DRAM",
    "vector": "vector unit",
}
"""The parts of an estimate's cycles, which add up to them, in the order in which a speedup takes them in."""
BRIEF = {"useful": "Useful", "mapping": "Mapping", "fill": "Fill", "port": "Port", "dram": "DRAM", "vector": "Vector"}
"""The PARTS over the columns of a table."""
COMPONENTS = {"mac": "MACs", "sram": "SRAM", "dram": "DRAM", "vector": "vector unit", "leakage": "leakage"}
"""The components of an energy, which add up to it."""
BASELINES = {"float32": "float32", "int8": "8 bits"}
"""What a speedup is over: the tag, and what a reader calls the machine."""
USUAL = (4, 4)
"""The bit width at which papers speak; where one width must stand for all, it is the nearest to this."""
COLUMNS = 3
"""Panels that stand beside each other in a figure, at most."""
_METRICS = (
    "cycles",
    *(f"{part}_cycles" for part in PARTS),
    *("macs", "dram_bytes", "latency", "fps", "utilisation", "energy", "area", "intensity", "speedup"),
    *("peak", "bandwidth", "busy_cycles", "unit_cycles"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One estimate: a workload at these bits on an accelerator, so many images at a time."""

    workload: str
    accelerator: str
    bits: Bits
    batch: str

    def __str__(self) -> str:
        return f"{self.accelerator}, {bits_label(self.bits)}"


Cases = Mapping[Case, Sequence[Record]]


def cases(records: Iterable[Record], *levels: str) -> dict[Case, tuple[Record, ...]]:
    """The records of each estimate, both in the order in which they come, of these `levels`: of the whole ("") and of groups
    of layers unless said otherwise. They have an accelerator and a batch, which sets them apart from others of the same
    metrics."""
    found: dict[Case, list[Record]] = {}
    for r in records:
        if r.accelerator and r.metric in _METRICS and r.tag("batch") and r.tag("level") in (levels or ("", "group")):
            found.setdefault(Case(r.workload, r.accelerator, bits(r), r.tag("batch")), []).append(r)
    return {case: tuple(rows) for case, rows in found.items()}


def shown(found: Cases) -> dict[Case, Sequence[Record]]:
    """Those that figures draw: of the first workload, at its first batch."""
    first = next(iter(found), None)
    return {c: rows for c, rows in found.items() if first and (c.workload, c.batch) == (first.workload, first.batch)}


def usual(found: Iterable[Case]) -> tuple[Case, ...]:
    """One case per accelerator, that of the bit width nearest to USUAL."""
    nearest: dict[str, Case] = {}
    for case in found:
        held = nearest.setdefault(case.accelerator, case)
        if _distance(case.bits) < _distance(held.bits):
            nearest[case.accelerator] = case
    return tuple(nearest.values())


def widths(found: Iterable[Case], most: int = COLUMNS) -> tuple[Bits, ...]:
    """The bit widths, widest first; beyond `most` of them the widest, the one nearest to USUAL and the narrowest."""
    ordered = sorted({case.bits for case in found}, reverse=True)
    if len(ordered) <= most:
        return tuple(ordered)
    return tuple(dict.fromkeys((ordered[0], min(ordered, key=_distance), ordered[-1])))


def arranged(found: Iterable[Case]) -> tuple[tuple[Case | None, ...], ...]:
    """The cases as rows of panels of one length: a row per accelerator with a column per width, of a single accelerator
    all widths, COLUMNS in a row; None where a panel stays empty."""
    there = {(case.accelerator, case.bits): case for case in found}
    names = tuple(dict.fromkeys(name for name, _ in there))
    if len(names) > 1:
        across = widths(there.values())
        return tuple(tuple(there.get((name, pair)) for pair in across) for name in names)
    ordered = sorted(there.values(), key=lambda case: case.bits, reverse=True)
    count = min(COLUMNS, len(ordered)) or 1
    places = (*ordered, *[None] * (-len(ordered) % count))
    return tuple(places[i : i + count] for i in range(0, len(places), count))


def elsewhere(every: Iterable[Case], drawn: Collection[Case], records: Sequence[Record]) -> str:
    """What of the estimates the drawn ones leave out, as a sentence with a blank before it; "" where nothing."""
    left: dict[str, None] = {}
    for case in every:
        for key, said in (
            ("workload", label(case.workload, records)),
            ("bits", bits_label(case.bits)),
            ("batch", f"batch {case.batch}"),
        ):
            if getattr(case, key) not in {getattr(other, key) for other in drawn}:
                left[said] = None
    return f" Not shown here: {', '.join(left)}." if left else ""


def value(rows: Iterable[Record], metric: str, node: str = "", **tags: str) -> float | None:
    """The number of `metric` at `node`, of the first record with these tags; None where there is none."""
    return next((number(r) for r in select(rows, metric, node=node, **tags)), None)


def parts(rows: Sequence[Record], node: str = "") -> tuple[float, ...] | None:
    """The cycles of PARTS at `node`; None unless all are known."""
    found = [value(rows, f"{part}_cycles", node) for part in PARTS]
    known = tuple(cycles for cycles in found if cycles is not None)
    return known if len(known) == len(PARTS) else None


def energies(rows: Sequence[Record]) -> dict[str, dict[str, float]]:
    """For each energy table, mJ by component and of all (`total`), where all are known."""
    found: dict[str, dict[str, float]] = {}
    for r in select(rows, "energy", node=""):
        found.setdefault(r.tag("table"), {})[r.tag("component")] = number(r)
    return {name: by for name, by in found.items() if by.keys() >= {*COMPONENTS, "total"}}


def without_leakage(found: Iterable[Sequence[Record]]) -> tuple[str, ...]:
    """The energy tables whose source gives no leakage: a total under one of them is a lower bound."""
    return tuple(dict.fromkeys(r.tag("table") for rows in found for r in select(rows, "energy", leakage="none")))


def pipelines(records: Iterable[Record], drawn: Iterable[Case]) -> tuple[str, ...]:
    """Those of the accelerators that have a unit for each group of layers, all at work at once."""
    piped = {case.accelerator for case in cases(records, "unit")}
    return tuple(dict.fromkeys(case.accelerator for case in drawn if case.accelerator in piped))


def in_shares(records: Iterable[Record], drawn: Iterable[Case]) -> str:
    """How to read the groups of pipelines, as a sentence with a blank before it; "" where there is none."""
    names = ", ".join(pipelines(records, drawn))
    words = f" On {names}, a pipeline, all units work at once: a group's cycles are its share of the interval between images."
    return words if names else ""


def ladder(rows: Sequence[Record], over: str) -> tuple[float, ...] | None:
    """The speedups over the baseline `over`, taking in one of PARTS after another; None unless all are known."""
    found = [value(rows, "speedup", over=over, step=part) for part in PARTS]
    known = tuple(ratio for ratio in found if ratio is not None)
    return known if len(known) == len(PARTS) else None


def on_paper(records: Iterable[Record], case: Case) -> tuple[Record, ...]:
    """The theoretical speedups of the workload at the bits of `case`, those that a paper claims first."""
    found = [
        r
        for r in select(records, "paper_speedup")
        if r.workload == case.workload and bits(r) == case.bits and r.accelerator in ("", case.accelerator)
    ]
    return tuple(sorted(found, key=lambda r: not r.tag("claim")))


def counted(records: Sequence[Record], found: Iterable[Case]) -> str:
    """By which conventions the speedups on paper of these cases are counted: ` by qvit_table`, "" where nothing says."""
    by = dict.fromkeys(
        r.tag("convention") for case in found for r in on_paper(records, case)[:1] if r.tag("convention")
    )
    return f" by {', '.join(by)}" if by else ""


def layers(rows: Iterable[Record]) -> tuple[str, ...]:
    """The groups of layers that take cycles, in the order in which a network runs through them."""
    return ordered_groups({"": {r.node: number(r) for r in select(rows, "cycles") if r.node}})


def shares(amounts: Sequence[float]) -> tuple[float, ...]:
    """`amounts` in percent of their sum."""
    total = sum(amounts) or 1.0
    return tuple(100 * amount / total for amount in amounts)


def _distance(pair: Bits) -> tuple[int, int]:
    """How far a bit width is from USUAL; of two that are equally far the wider one is nearer."""
    return sum(abs(own - usual) for own, usual in zip(pair, USUAL, strict=True)), -sum(pair)
