"""The usual questions about one model at several widths, as records: every convention that needs no option, in groups, what
is stored, and the primitive actions."""

from collections.abc import Iterable

from hwsim.cost.actions import actions
from hwsim.cost.memory import Peak
from hwsim.cost.storage import storage
from hwsim.cost.table import tally
from hwsim.cost.work import Rows, published_parameters, with_bits
from hwsim.record import Record

PER_BITS = ("bireal_ladder", "bitops_wa", "size_simple", "size_bidet", "size_tervit")
"""Conventions whose figure depends on the widths."""

Tags = tuple[tuple[str, str], ...]

FIXED = ("macs", "swin_flops")
"""Conventions that count the same whatever the widths."""


def overview(workload: str, label: str, rows: Rows, bits: Iterable[int], peak: Peak, peak_bits: int) -> list[Record]:
    """Records of the model `workload` at W = A = each of `bits`; `rows` and `peak` are of its graph at W = A = `peak_bits`,
    whose actions are told."""
    plain = (("label", label),)
    records: list[Record] = []
    for name in FIXED:
        records += tally(rows, name).records(workload, plain)
    for width in bits:
        priced, tags = with_bits(rows, width, width), (*plain, *_at(width))
        for name in PER_BITS:
            records += tally(priced, name).records(workload, tags)
        records += [*_stored(workload, priced, tags), *_by_operands(workload, priced, tags)]
    records += _actions(workload, rows, (*plain, *_at(peak_bits)))
    records.append(Record(workload, "peak_activation_bytes", peak.bytes, "byte", tags=(*plain, *_at(peak_bits))))
    return [*records, Record(workload, "parameters", published_parameters(rows), "param", tags=plain)]


def _stored(workload: str, rows: Rows, tags: Tags) -> list[Record]:
    """Bytes by kind of what is stored, all widths together."""
    sizes: dict[str, float] = {}
    for stored in storage(rows):
        sizes[stored.kind] = sizes.get(stored.kind, 0) + stored.bytes
    return [Record(workload, "stored_bytes", size, "byte", node=kind, tags=tags) for kind, size in sizes.items()]


def _by_operands(workload: str, rows: Rows, tags: Tags) -> list[Record]:
    """Bit operations by the widths of the operands, at the node `4x4`."""
    found: dict[str, int] = {}
    for gemm in (row.gemm for row in rows if row.gemm):
        widths = f"{gemm.a_bits}x{gemm.b_bits}"
        found[widths] = found.get(widths, 0) + gemm.macs * gemm.a_bits * gemm.b_bits
    return [Record(workload, "bitops_by_operands", n, "BOP", node=widths, tags=tags) for widths, n in found.items()]


def _actions(workload: str, rows: Rows, tags: Tags) -> list[Record]:
    """Actions by part of the model, kind and operand widths."""
    return [
        Record(
            workload,
            "actions",
            counted.count,
            "action",
            node=counted.part,
            tags=(*tags, ("action", counted.kind), ("operands", f"{counted.a_bits}x{counted.b_bits}")),
        )
        for counted in actions(rows)
    ]


def _at(width: int) -> Tags:
    return (("wbits", str(width)), ("abits", str(width)))
