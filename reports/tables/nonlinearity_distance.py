"""How far each integer nonlinearity is from its float function, by the width of its input."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import number, select
from reports.studies import tag_number
from reports.table import Table

_ORDER = ("gelu", "softmax", "layernorm")


def nonlinearity_distance(records: Sequence[Record]) -> Table | None:
    """One row per operator, width and input; None where no distance was measured over a range."""
    rows = [r for r in select(records, "distance_max") if r.tag("family")]
    if not rows:
        return None
    rows.sort(key=lambda r: _ORDER.index(r.tag("family")) if r.tag("family") in _ORDER else len(_ORDER))
    return Table(
        "Integer nonlinearities and their float functions",
        ("Stands for", "Operator", "Input", "Step", "Fed", "Largest distance", "RMS", "Largest at"),
        tuple(_row(r, records) for r in rows),
        "Distance: real of the integer result less the float function of the real that the input codes mean, rounding to the"
        " operator's own output included (16 bits; logintsoftmax: log2 codes of 4 bits). gelu: every code of [-8, 8), at x."
        " softmax: two scores, at their difference, and rows of random scores. layernorm: rows of random channels, in"
        " standard deviations, at a row's deviation in codes: ilayernorm rounds a row's mean to a code of 16 bits (narrower"
        " ones it refines to that first), so a row that deviates by one of them is the worst there is.",
        place=53,
    )


def _row(record: Record, records: Sequence[Record]) -> tuple[str, ...]:
    tags = {key: record.tag(key) for key in ("family", "bits", "inputs")}
    of_it = select(records, "distance_rms", "distance_at", node=record.node, **tags)
    rms = next((f"{number(r):.2g}" for r in of_it if r.metric == "distance_rms"), "")
    curve = [r for r in of_it if r.metric == "distance_at"]
    worst = f"{tag_number(dict(max(curve, key=number).tags), 'x'):.3g}" if curve else ""
    return (
        tags["family"],
        record.node,
        f"{tags['bits']} bits",
        f"{tag_number(dict(record.tags), 'scale'):.3g}",
        tags["inputs"],
        f"{number(record):.2g}",
        rms,
        worst,
    )
