"""Errors of quantizers on real values (`hwsim compare`): by model, place and quantizer, one per module at each width."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hwsim.errors import BadFile
from hwsim.record import Record
from reports.rows import number, select

PLACES = {
    "softmax": "behind softmax",
    "gelu": "behind GELU",
    "layernorm": "behind LayerNorm",
    "norm_inputs": "before LayerNorm",
    "weights": "weights",
}
"""Where the values are from, in words."""


@dataclass(slots=True)
class Errors:
    """Of one quantizer in one place of a model: by width, the error at each module's path."""

    model: str
    place: str
    quantizer: str
    by_bits: dict[int, dict[str, float]] = field(default_factory=dict)

    def mean(self, bits: int) -> float | None:
        """Over the modules, None where there are none at this width."""
        values = self.by_bits.get(bits)
        return statistics.fmean(values.values()) if values else None


def errors(records: Iterable[Record]) -> tuple[Errors, ...]:
    """All there are, by model and in the order of PLACES, quantizers as they come."""
    found: dict[tuple[str, str, str], Errors] = {}
    for r in select(records, "reconstruction_error"):
        key = r.workload, r.tag("place"), r.tag("quantizer")
        of = found.setdefault(key, Errors(*key))
        of.by_bits.setdefault(_bits(r), {})[r.node] = number(r)
    places = [*PLACES, *dict.fromkeys(of.place for of in found.values())]
    models = list(dict.fromkeys(of.model for of in found.values()))
    return tuple(sorted(found.values(), key=lambda of: (models.index(of.model), places.index(of.place))))


def widths(found: Iterable[Errors]) -> tuple[int, ...]:
    """All bits at which there are errors, narrow first."""
    return tuple(sorted({bits for of in found for bits in of.by_bits}))


def by_name(found: Iterable[Errors]) -> Mapping[tuple[str, str, str], Errors]:
    """By model, place and quantizer."""
    return {(of.model, of.place, of.quantizer): of for of in found}


def place(name: str) -> str:
    """What a reader calls a place."""
    return PLACES.get(name, name)


def _bits(record: Record) -> int:
    text = record.tag("bits")
    if not (text.isascii() and text.isdigit()):
        raise BadFile(f"tag bits: must be a number, got {text!r}; write the records again with `hwsim compare`")
    return int(text)
