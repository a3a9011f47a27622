"""The usual questions about one model at several widths, as records: every convention that needs no option, in groups."""

from collections.abc import Iterable

from hwsim.cost.memory import Peak
from hwsim.cost.table import tally
from hwsim.cost.work import Rows, published_parameters, with_bits
from hwsim.record import Record

PER_BITS = ("bireal_ladder", "bitops_wa", "size_simple", "size_bidet", "size_tervit")
"""Conventions whose figure depends on the widths."""

FIXED = ("macs", "swin_flops")
"""Conventions that count the same whatever the widths."""


def overview(workload: str, label: str, rows: Rows, bits: Iterable[int], peak: Peak, peak_bits: int) -> list[Record]:
    """Records of the model `workload` at W = A = each of `bits`; `peak` is that of its graph at W = A = `peak_bits`."""
    plain = (("label", label),)
    records: list[Record] = []
    for name in FIXED:
        records += tally(rows, name).records(workload, plain)
    for width in bits:
        for name in PER_BITS:
            records += tally(with_bits(rows, width, width), name).records(workload, (*plain, *_at(width)))
    records.append(Record(workload, "peak_activation_bytes", peak.bytes, "byte", tags=(*plain, *_at(peak_bits))))
    return [*records, Record(workload, "parameters", published_parameters(rows), "param", tags=plain)]


def _at(width: int) -> tuple[tuple[str, str], ...]:
    return (("wbits", str(width)), ("abits", str(width)))
