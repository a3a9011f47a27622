"""Reading Record rows: selection, bit widths from their tags, labels of workloads. Nothing is computed here."""

from collections.abc import Iterable, Sequence

from hwsim.errors import BadFile
from hwsim.record import Record
from workloads import models

Bits = tuple[int, int]
_USUAL = {"rounding": "half_even", "calibration_images": "64"}
"""Settings of an integer form that go without saying."""
LEAST_NATS = 1e-12
"""Divergences below it are rounding errors of float64."""


def select(records: Iterable[Record], *metrics: str, node: str | None = None, **tags: str) -> tuple[Record, ...]:
    """The records of these `metrics`, at `node` (None: at any) and with these `tags`, in their order."""
    return tuple(
        r
        for r in records
        if r.metric in metrics
        and (node is None or r.node == node)
        and all(r.tag(key) == value for key, value in tags.items())
    )


def number(record: Record) -> float:
    """The value of `record` as a float; raises BadFile where it is text."""
    if isinstance(record.value, str):
        raise BadFile(
            f"record {record.workload}/{record.metric}: value must be a number, got {record.value!r};"
            " write the records again with `hwsim reproduce`"
        )
    return float(record.value)


MIXED = (0, 0)
"""The bits of a model whose layers have bits of their own."""


def bits(record: Record) -> Bits:
    """Weight and activation bits from the tags of `record`, MIXED where both say so; raises BadFile for other texts."""
    found = record.tag("wbits"), record.tag("abits")
    if found == ("mixed", "mixed"):
        return MIXED
    if not all(text.isascii() and text.isdigit() for text in found):
        raise BadFile(
            f"record {record.workload}/{record.metric}: tags wbits and abits must be integers, got {found};"
            " write the records again with `hwsim reproduce`"
        )
    return int(found[0]), int(found[1])


def bits_label(pair: Bits) -> str:
    """`(4, 4)` as `W4A4`; 32 bits on both sides as `float`, MIXED as `mixed`."""
    return {(32, 32): "float", MIXED: "mixed"}.get(pair) or f"W{pair[0]}A{pair[1]}"


def workloads(records: Iterable[Record]) -> tuple[str, ...]:
    """The workloads of `records`, in the order of their first appearance."""
    return tuple(dict.fromkeys(r.workload for r in records))


def trials(records: Iterable[Record]) -> dict[str, tuple[Record, ...]]:
    """The records of each comparison of integers with fake quant, by what a reader calls it, in their order: the workload,
    with the form, recipe and unusual settings where it is not the mixed form, the split where it is not the test images,
    and the what-if where there is one."""
    found: dict[str, list[Record]] = {}
    for r in records:
        form = r.tag("form", "mixed")
        words = (r.workload, "" if form == "mixed" else form, r.tag("recipe"), *_settings(r), r.tag("what_if"))
        found.setdefault(", ".join(word for word in words if word), []).append(r)
    return {name: tuple(rows) for name, rows in found.items()}


def _settings(record: Record) -> Iterable[str]:
    """What sets `record` apart from the usual ones of its form and recipe, in words."""
    words = {
        "residual_bits": "{}-bit residual",
        "rounding": "{} rounding",
        "calibration_images": "scales from {} images",
        "split": "{} images",
    }
    said = {key: record.tag(key) for key in words}
    return (words[key].format(value) for key, value in said.items() if value and value != _USUAL.get(key))


def nats(value: float) -> str:
    """A KL divergence in nat, as text."""
    return f"below {LEAST_NATS:g} nat" if value < LEAST_NATS else f"{value:.3g} nat"


def bit_widths(records: Iterable[Record]) -> tuple[Bits, ...]:
    """The bit widths of `records`, widest first."""
    return tuple(sorted({bits(r) for r in records}, reverse=True))


def label(workload: str, records: Iterable[Record]) -> str:
    """What a reader calls `workload`: the tag `label` of any of its records, else the model's label, else its name."""
    known = models.find(workload).label if workload in models.names() else workload
    return next((r.tag("label") for r in records if r.workload == workload and r.tag("label")), known)


def value_at(records: Sequence[Record], workload: str, metric: str, pair: Bits) -> float | None:
    """The total of `metric` for `workload` at these bits; a metric without bit tags holds at any."""
    rows = [r for r in select(records, metric, node="") if r.workload == workload]
    exact = [r for r in rows if r.tag("wbits") and bits(r) == pair]
    anywhere = [r for r in rows if not r.tag("wbits")]
    return next((number(r) for r in (*exact, *anywhere)), None)
