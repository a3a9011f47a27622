"""Reading the records of published figures of accelerators (`published`) and what the model gives for them (`predicted`)."""

from collections.abc import Iterable
from dataclasses import dataclass

from hwsim.record import Record
from reports.rows import number, select
from reports.studies import tag_number

_SAME = ("accelerator", "quantity", "wbits", "abits", "batch", "index")
"""The tags that a published figure and its prediction share, where they have them."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A `published` figure and `ours` (None: nothing was predicted), the band of their ratio (None: open), and the words."""

    record: Record
    published: float
    ours: float | None
    low: float | None
    high: float | None

    @property
    def accelerator(self) -> str:
        """The field of the record, else its tag."""
        return self.record.accelerator or self.record.tag("accelerator")

    @property
    def ratio(self) -> float | None:
        """Ours over the published figure, where there are both."""
        return self.ours / self.published if self.ours is not None and self.published else None

    @property
    def verdict(self) -> str:
        """`inside` or `outside` its band; `no band`, or `not predicted`."""
        if self.ratio is None:
            return "not predicted"
        if self.low is None and self.high is None:
            return "no band"
        inside = (self.low is None or self.low <= self.ratio) and (self.high is None or self.ratio <= self.high)
        return "inside" if inside else "outside"


def predictions(records: Iterable[Record]) -> tuple[Prediction, ...]:
    """One per published figure, source by source, in the order in which the sources come."""
    rows = tuple(records)
    ours = {_key(r): number(r) for r in select(rows, "predicted")}
    found = [
        Prediction(r, number(r), ours.get(_key(r)), _band(r, "band_low"), _band(r, "band_high"))
        for r in select(rows, "published")
    ]
    sources = list(dict.fromkeys(p.record.tag("source") for p in found))
    return tuple(sorted(found, key=lambda p: sources.index(p.record.tag("source"))))


def _key(record: Record) -> tuple[str, ...]:
    return record.workload, record.accelerator, record.node, *(record.tag(key) for key in _SAME)


def _band(record: Record, key: str) -> float | None:
    return tag_number(dict(record.tags), key) if record.tag(key) else None
