"""What `hwsim cost` prints of an account: tables of costs, actions, storage, traffic, attention; and what sums them up."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hwsim.cost.account import Account, account
from hwsim.cost.actions import Counted
from hwsim.cost.memory import Attention
from hwsim.cost.storage import Stored
from hwsim.cost.table import CostTable
from hwsim.cost.traffic import Traffic, by_group, summed
from reports.prefixes import engineering
from reports.table import Table

__all__ = ["account", "summary", "tables"]

_TRAFFIC = ("makes [B]", "constants [B]", "reads [B]", "writes [B]", "moved [B]", "MAC/B", "BOP/B")


def tables(account: Account, title: str, buffer: str, per_layer: bool, wanted: Mapping[str, bool]) -> Iterator[Table]:
    """The tables that are `wanted` (actions, storage, memory), after that of the costs."""
    if account.tables:
        yield priced(account.tables, account.floats, f"{title}, one image", per_layer)
    if wanted["actions"]:
        yield acted(account.actions, f"{title}, actions of one image")
    if wanted["storage"]:
        yield kept(account.stored, f"{title}, stored")
    if wanted["memory"]:
        of = f"DRAM traffic of {images(account)}, {kept_in(account, buffer)}"
        yield moved(account.traffic, f"{title}, {of}", per_layer)
        if account.attentions:
            yield attended(account.attentions, f"{title}, attention of one image", per_layer)


def priced(tables: Sequence[CostTable], floats: Sequence[CostTable], title: str, per_layer: bool) -> Table:
    """One column per convention; one row per group, or per node that costs anything; totals, and those in floats."""
    if per_layer:
        rows = [
            (row.node, *(engineering(table.amounts[index]) for table in tables))
            for index, row in enumerate(tables[0].rows)
            if any(table.amounts[index] for table in tables)
        ]
    else:
        groups = [table.by_group() for table in tables]
        rows = [(group, *(engineering(g[group]) for g in groups)) for group in groups[0]]
    rows.append(("total", *(engineering(table.total) for table in tables)))
    pairs = [(table.entry, other.entry) for table, other in zip(tables, floats, strict=True)]
    if any(quantized != in_floats for quantized, in_floats in pairs):
        rows.append(("in floats", *(engineering(table.total) for table in floats)))
        rows.append(("ratio", *(f"{f / q:.2f} x" if q else "" for q, f in pairs)))
    columns = ("node" if per_layer else "group", *(f"{table.name} [{table.unit}]" for table in tables))
    return Table(title, columns, tuple(rows))


def acted(counted: Sequence[Counted], title: str) -> Table:
    """One row per part of the model, kind of action and widths, then the sums over all parts."""
    rows = [(c.part, c.kind, f"{c.a_bits} x {c.b_bits}", engineering(c.count)) for c in counted]
    sums: Counter[tuple[str, int, int]] = Counter()
    for c in counted:
        sums[c.kind, c.a_bits, c.b_bits] += c.count
    rows += [("all", kind, f"{a} x {b}", engineering(sums[kind, a, b])) for kind, a, b in sorted(sums)]
    note = "Primitive actions for one image, by the bits of their operands: 32 is a float, or an accumulator (add)."
    return Table(title, ("part", "action", "operands [bit]", "times"), tuple(rows), note)


def kept(stored: Sequence[Stored], title: str) -> Table:
    """One row per kind and width of what the model stores, with its share of all bytes."""
    total = sum(s.bytes for s in stored) or 1.0
    rows = [
        (s.kind, str(s.bits), f"{s.count:,}", engineering(s.bytes, "B"), f"{100 * s.bytes / total:.2f} %")
        for s in stored
    ]
    count = f"{sum(s.count for s in stored):,}"
    rows.append(("total", "", count, engineering(sum(s.bytes for s in stored), "B"), "100 %"))
    note = "Published sizes leave out what comes after `others`: scales, zero points, constants of integer operators."
    return Table(title, ("kind", "bits", "count", "size", "share"), tuple(rows), note)


def moved(traffic: Sequence[Traffic], title: str, per_layer: bool) -> Table:
    """One row per group, or per node that moves anything, and the total."""
    named = [(t.node, t) for t in traffic if t.bytes] if per_layer else list(by_group(traffic).items())
    rows = tuple((name, *_cells(t)) for name, t in (*named, ("total", summed(traffic))))
    note = (
        "makes: the result's size for one image, packed; reads, writes: activations; constants: weights, biases, norms. "
        "Each node reads and writes once; values that a buffer keeps are not moved (see hwsim/cost/traffic.py)."
    )
    return Table(title, ("node" if per_layer else "group", *_TRAFFIC), rows, note)


def attended(attentions: Sequence[Attention], title: str, per_layer: bool) -> Table:
    """One row per attention, if asked for, and the total."""
    rows = [(a.node, *_sizes(a.keys, a.values, a.scores, a.maps)) for a in attentions if per_layer]
    sums = (sum(values) for values in zip(*((a.keys, a.values, a.scores, a.maps) for a in attentions), strict=True))
    rows.append((f"all {len(attentions)}", *_sizes(*sums)))
    note = "K, V, maps: codes that the products read; scores: int32 accumulators of QK^T. Of one image."
    return Table(title, ("attention", "K [B]", "V [B]", "scores [B]", "maps [B]"), tuple(rows), note)


def _cells(t: Traffic) -> tuple[str, ...]:
    return (
        *_sizes(t.makes, t.constants, t.reads, t.writes, t.bytes),
        *(f"{value:.1f}" if value else "" for value in (t.macs_per_byte, t.bops_per_byte)),
    )


def _sizes(*values: float) -> tuple[str, ...]:
    return tuple(engineering(value) for value in values)


def summary(account: Account, method: str, buffer: str) -> Iterator[str]:
    """The sentences that sum an account up: parameters, scales, activations, traffic."""
    added = account.added_parameters
    norms = f" and {added:,} of norms that {method} puts on q and k" if added else ""
    yield f"{account.parameters:,} parameters{norms}, {account.parameter_bytes / 1e6:.3f} MB in all."
    if account.extra_bytes:
        share = 100 * account.extra_bytes / account.parameter_bytes
        yield f"Scales and zero points: {account.extra_bytes / 1e6:.3f} MB more ({share:.2f} %)."
    yield f"At most {account.peak.bytes / 1e6:.3f} MB of activations alive, at {account.peak.node}."
    total = summed(account.traffic)
    yield (
        f"DRAM traffic of {images(account)}, {kept_in(account, buffer)}: {total.bytes / 1e6:.3f} MB, "
        f"{total.macs_per_byte:.1f} MAC/B."
    )


def images(account: Account) -> str:
    """`one image`, or the batch."""
    return f"a batch of {account.batch}" if account.batch > 1 else "one image"


def kept_in(account: Account, buffer: str) -> str:
    """The buffer as the user wrote it."""
    return f"with a buffer of {buffer}" if account.buffer_bytes else "with nothing kept on chip"
