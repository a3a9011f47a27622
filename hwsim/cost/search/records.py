"""What a search found, as records: one per family of readings, and one per count of what was searched.

`audit_reading` is the figure of the most plausible reading of a family; its tags say by which convention. `audit_searched`,
`audit_hits`, `audit_consistent` and `audit_consistent_hits` count combinations of the grid; `audit_nearest` is the nearest
figure of the self-consistent un-rounded ones; `audit_skipped` (at the rule's name) counts settings that are not defined.
"""

from collections.abc import Mapping

from hwsim.cost.elementwise import KINDS
from hwsim.cost.operations import Operations
from hwsim.cost.search.figure import PREFIXES
from hwsim.cost.search.findings import Found
from hwsim.cost.search.reading import Reading, rounding_words
from hwsim.record import Record

Tags = dict[str, object]


def records(found: Found, labels: Mapping[str, str], bits: tuple[int, int], limit: int | None = None) -> list[Record]:
    """Records of `found` at these bits: of the first `limit` families and of all with a name of their own; `labels` are what
    papers call the models, that of the figure first."""
    model, label = next(iter(labels.items()))
    about: Tags = {"wbits": bits[0], "abits": bits[1], "figure": str(found.figure), "label": label}
    counts = {
        "searched": found.searched,
        "hits": found.hits,
        "consistent": found.consistent,
        "consistent_hits": found.consistent_hits,
        "families": len(found.families),
    }
    rows = [_record(model, f"audit_{name}", count, "", about) for name, count in counts.items()]
    rows += [_record(model, "audit_skipped", n, "", about, rule) for rule, n in found.skipped.items()]
    if found.nearest is not None:
        rows.append(_reading(found, (found.nearest,), labels, about, "audit_nearest"))
    for place, family in enumerate(found.families, 1):
        if limit is None or place <= limit or family[0].known:
            rows.append(_reading(found, family, labels, {**about, "place": place}, "audit_reading"))
    return rows


def _reading(found: Found, family: tuple[Reading, ...], labels: Mapping[str, str], about: Tags, metric: str) -> Record:
    best = family[0]
    tags: Tags = {
        **about,
        "of": labels[best.model],
        "named": best.named,
        "full_precision": _entry(found, best, 0),
        "quantized": _entry(found, best, 1),
        "rounding": rounding_words(best.rounding),
        "sides": "differ" if best.one_sided else "same",
        "convention": str(best),
        "status": best.rule.status,
        "known": best.known,
        **_elementwise(best),
        "weightings": best.weightings,
        "points": best.points,
        "also": ", ".join(best.also),
        "others": len(family) - 1,
    }
    return _record(best.model, metric, best.value, _unit(found, best), tags)


def _elementwise(reading: Reading) -> Tags:
    """The range of elementwise work in M, and the weights that are not 0; nothing of a rule that has none."""
    if not isinstance(reading.quantized, Operations):
        return {}
    weights = {kind: getattr(reading.quantized.elementwise, kind) for kind in KINDS}
    said = ", ".join(f"{kind.replace('_', ' ')} {weight:g}" for kind, weight in weights.items() if weight)
    return {"work": "-".join(dict.fromkeys(f"{work / 1e6:.1f}" for work in reading.work)), "weights": said or "none"}


def _entry(found: Found, reading: Reading, side: int) -> str:
    """An entry as a table prints it, an un-rounded one with four decimals."""
    if not found.figure.is_ratio:
        return "" if side == 0 else f"{reading.entries[1]:.{found.figure.decimals + 2}f}"
    if reading.rounding.how == "none":
        return f"{reading.totals[side] / 1e9:.4f}"
    return f"{reading.entries[side]:.{reading.rounding.decimals}f}"


def _unit(found: Found, reading: Reading) -> str:
    """`x`, or the unit of the entry: `GFLOP`, `MiB`."""
    if found.figure.is_ratio:
        return "x"
    unit = "B" if reading.quantized.unit == "byte" else reading.quantized.unit
    return f"{reading.rounding.prefix or PREFIXES[found.figure.kind][0]}{unit}"


def _record(model: str, metric: str, value: float, unit: str, tags: Tags, node: str = "") -> Record:
    text = tuple((key, str(value)) for key, value in tags.items() if value != "")
    return Record(model, metric, value, unit, node, source="inferred", tags=text)
