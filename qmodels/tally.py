"""What one comparison counts and sums over a range of images; tallies of ranges that follow each other are joined.

A tally is plain numbers by name, so that it goes into JSON and comes back the same to the last bit. Joining adds floats
in the order of the ranges: the same ranges give the same sums, whoever made them.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

from hwsim.study.accumulators import Range
from qmodels.comparison import CodeCount, LogitSums, RealSums


@dataclass(frozen=True, slots=True)
class Place:
    """Where codes part first: the node, the batch (images `start` to `stop`, less one) and the flat position in it."""

    node: str
    start: int
    stop: int
    position: int


@dataclass(slots=True)
class Tally:
    """By mode and node the codes; by node the reals, the clamped inputs and the range of a product's sums; by name the
    logits; and where codes part first, node by node: at the first node of the graph, on its first image."""

    images: int
    codes: dict[str, dict[str, CodeCount]]
    reals: dict[str, RealSums]
    clamped: dict[str, int]
    logits: dict[str, LogitSums]
    ranges: dict[str, Range]
    place: Place | None = None

    def join(self, later: "Tally") -> None:
        """Take in the tally of images that follow."""
        self.images += later.images
        for mode, counts in later.codes.items():
            for node, count in counts.items():
                self.codes[mode][node].join(count)
        for node, sums in later.reals.items():
            self.reals[node].join(sums)
            self.clamped[node] += later.clamped[node]
        for name, logits in later.logits.items():
            self.logits.setdefault(name, LogitSums()).join(logits)
        self.see(later.ranges)
        self.part(later.place)

    def see(self, ranges: dict[str, Range]) -> None:
        """Widen the ranges of the products' sums."""
        for node, new in ranges.items():
            old = self.ranges.get(node, new)
            self.ranges[node] = Range(min(old.low, new.low), max(old.high, new.high))

    def part(self, place: Place | None) -> None:
        """Note a place on later images, where its node comes before the one that is noted."""
        order = list(self.codes.get("node_by_node", ()))
        if place and (self.place is None or order.index(place.node) < order.index(self.place.node)):
            self.place = place

    def as_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The tally of which `found` is the JSON object."""
        place = found["place"]
        return cls(
            found["images"],
            {mode: {n: CodeCount(**count) for n, count in nodes.items()} for mode, nodes in found["codes"].items()},
            {node: RealSums(**sums) for node, sums in found["reals"].items()},
            found["clamped"],
            {name: LogitSums(**sums) for name, sums in found["logits"].items()},
            {node: Range(**ends) for node, ends in found["ranges"].items()},
            place and Place(**place),
        )
