"""The examiner: a model against its graph over any range of the images, and what all ranges say together.

The images are cut into shards of SHARD images (`shards`), each examined by itself, and joined in their order: however
many processes share them, and wherever a killed run is taken up again, the numbers are the same to the last bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import nn

from hwsim.graph import Graph
from hwsim.study.accumulators import Overflow
from qmodels.data import Batches
from qmodels.tally import Tally
from qmodels.verification import MODES, Comparison, Logits, VerifyReport, check_images
from qmodels.what_if import Arithmetic, WhatIf

DTYPES = (torch.float64, torch.float32)
SHARD = 32
"""Images of a shard: one batch. Of the largest models a minute on one core, and yet more work than to hand it out."""

Done = Callable[[int], None]
"""Told how many images were done further."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The images `start` to `stop`, less one."""

    start: int
    stop: int

    @property
    def images(self) -> int:
        """How many they are."""
        return self.stop - self.start


def shards(images: int, size: int = SHARD) -> tuple[Shard, ...]:
    """Shards of at most `size` images that cover them all, in order."""
    return tuple(Shard(start, min(start + size, images)) for start in range(0, images, size))


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one shard: a tally per dtype, and in a what-if the overflows and flips, by node."""

    shard: Shard
    tallies: tuple[Tally, ...]
    overflows: Mapping[str, Overflow]
    flips: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "shard": [self.shard.start, self.shard.stop],
            "tallies": [tally.as_json() for tally in self.tallies],
            "overflows": {node: [o.narrowings, o.overflowed, o.outputs] for node, o in self.overflows.items()},
            "flips": dict(self.flips),
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The finding of which `found` is the JSON object."""
        tallies = tuple(Tally.from_json(tally) for tally in found["tallies"])
        overflows = {node: Overflow(*counts) for node, counts in found["overflows"].items()}
        return cls(Shard(*found["shard"]), tallies, overflows, found["flips"])


@dataclass(slots=True, eq=False)
class Examiner:
    """`model` against `graph` on `batches`: in float64, and in float32 too where it is the mixed form as it stands.

    mixed: the graph traced from the model, where `graph` was lowered from it. others: further logits to be judged.
    """

    model: nn.Module
    graph: Graph
    batches: Batches
    mixed: Graph | None = None
    what_if: WhatIf | None = None
    others: Mapping[str, Logits] = field(default_factory=dict)
    threads: int | None = None
    comparisons: tuple[Comparison, ...] = field(init=False)

    def __post_init__(self) -> None:
        check_images(self.graph, self.batches)
        dtypes = DTYPES[:1] if self.mixed or self.what_if else DTYPES
        modes = MODES[1:] if self.what_if else MODES
        self.comparisons = tuple(
            Comparison(self.model, self.graph, self.mixed, modes, {} if i else self.others, dtype, self.threads, not i)
            for i, dtype in enumerate(dtypes)
        )
        if self.what_if:
            Arithmetic(self.graph, self.what_if)  # an error before any work

    def examine(self, shard: Shard, done: Done | None = None) -> Finding:
        """What the images of `shard` show; reads no others."""
        arithmetic = Arithmetic(self.graph, self.what_if) if self.what_if else None
        tallies = tuple(comparison.empty() for comparison in self.comparisons)
        first = shard.start
        for images, labels in self.batches.part(shard.start, shard.stop):
            for comparison, tally in zip(self.comparisons, tallies, strict=True):
                comparison.add(tally, images, labels, first, arithmetic)
            first += len(images)
            if done:
                done(len(images))
        if arithmetic is None:
            return Finding(shard, tallies, {}, {})
        return Finding(shard, tallies, arithmetic.overflows, arithmetic.flips)

    def joined(self, findings: Sequence[Finding]) -> tuple[tuple[VerifyReport, ...], Arithmetic | None]:
        """The report of each dtype from the findings of all shards, in their order; and the counts of a what-if."""
        tallies = tuple(comparison.empty() for comparison in self.comparisons)
        arithmetic = Arithmetic(self.graph, self.what_if) if self.what_if else None
        for finding in findings:
            for tally, further in zip(tallies, finding.tallies, strict=True):
                tally.join(further)
            if arithmetic:
                arithmetic.join(finding.overflows, finding.flips)
        pairs = zip(self.comparisons, tallies, strict=True)
        return tuple(comparison.report(tally, self.batches) for comparison, tally in pairs), arithmetic
