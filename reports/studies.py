"""Points of a study: each is one run on the test images, judged against fake quant, and told apart by its tags."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hwsim.errors import BadFile
from hwsim.record import Record
from reports.rows import Bits, bits, number, select

_METRICS = ("accuracy", "accuracy_drop", "agreement", "kl_divergence")
LEAST_KL = 1e-9
"""Where a divergence of zero, or one of rounding errors, stands on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Point:
    """What was found: shares of all images, points of accuracy lost, and KL divergence in nat; `tags` say of what."""

    workload: str
    bits: Bits
    tags: Mapping[str, str]
    accuracy: float
    accuracy_drop: float
    agreement: float
    kl_divergence: float


def points(records: Iterable[Record], study: str) -> tuple[Point, ...]:
    """The whole points of `study`, in their order."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[Record]] = {}
    for r in select(records, *(f"study_{metric}" for metric in _METRICS), study=study):
        found.setdefault((r.workload, r.tags), []).append(r)
    return tuple(
        Point(workload, bits(rows[0]), dict(tags), **{r.metric.removeprefix("study_"): number(r) for r in rows})
        for (workload, tags), rows in found.items()
        if len(rows) == len(_METRICS)
    )


def parted(found: Iterable[Point], *keys: str) -> dict[tuple[str, ...], tuple[Point, ...]]:
    """The points by workload and these tags, both in the order of their first appearance."""
    parts: dict[tuple[str, ...], list[Point]] = {}
    for point in found:
        parts.setdefault((point.workload, *(point.tags.get(key, "") for key in keys)), []).append(point)
    return {key: tuple(part) for key, part in parts.items()}


def tag_number(tags: Mapping[str, str], key: str) -> float:
    """The number that the tag `key` holds; raises BadFile where it holds none."""
    try:
        return float(tags[key])
    except (KeyError, ValueError):
        raise BadFile(
            f"tag {key}: must be a number, got {tags.get(key, '')!r}; write the records again with `hwsim reproduce`"
        ) from None
