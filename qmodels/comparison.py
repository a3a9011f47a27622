"""Running statistics of a comparison: codes with codes, reals with reals, logits with logits.

Each keeps sums alone, so memory does not grow with the images, and can `join` those of further images. Over all elements
e (of all images) of one node:

    cosine = sum(r s) / sqrt(sum(r^2) sum(s^2))        r the reference's reals, s the simulator's
    SQNR   = 10 log10(sum(r^2) / sum((r - s)^2)) dB    infinite where no element differs

and over all images, with P the softmax of the reference's logits and Q that of the simulator's, in nats:

    KL = mean over images of sum over classes of P ln(P / Q)

Reals are added in blocks of BLOCK elements, each by NumPy's pairwise sum, and not by BLAS, whose last bits depend on the
number of its threads.
"""

import math
from dataclasses import dataclass

import numpy as np

from hwsim.op import Array
from hwsim.study.accumulators import Range

BLOCK = 32768
"""Elements whose products are summed at once: they stay in the cache."""


@dataclass(frozen=True, slots=True)
class NodeCodes:
    """The codes of one quantizer: how many were compared, how many differ, and the largest difference in steps."""

    node: str
    compared: int
    mismatched: int
    largest: int


@dataclass(frozen=True, slots=True)
class NodeReals:
    """One quantizer, free running: how near its reals are, and the share of the reference's inputs that were clamped."""

    node: str
    cosine: float
    sqnr_db: float
    saturation: float


@dataclass(frozen=True, slots=True)
class NodeAccumulator:
    """One product of integers: bits that its sums need for any operands, and for any activations; those seen (S15).

    None were seen in a what-if, or where sums were not watched (float32).
    """

    node: str
    codes_bits: int
    weights_bits: int
    seen: Range | None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Logits of `images` images: how many are right, how many agree with the reference, mean KL divergence from it."""

    images: int
    correct: int
    agreeing: int
    kl: float

    @property
    def accuracy(self) -> float:
        """The share of images whose greatest logit is at the label."""
        return self.correct / self.images

    @property
    def agreement(self) -> float:
        """The share of images whose greatest logit is where the reference has it."""
        return self.agreeing / self.images


@dataclass(slots=True)
class CodeCount:
    """Running counts of one node's codes."""

    compared: int = 0
    mismatched: int = 0
    largest: int = 0

    def add(self, codes: Array, reference: Array) -> Array:
        """Compare codes of equal shape; the flat positions of those that differ."""
        where = np.flatnonzero(codes != reference)
        self.compared += codes.size
        self.mismatched += where.size
        if where.size:
            here, there = codes.reshape(-1)[where].astype(np.int64), reference.reshape(-1)[where].astype(np.int64)
            self.largest = max(self.largest, int(np.abs(here - there).max()))
        return where

    def join(self, other: "CodeCount") -> None:
        """Take in the counts of further images."""
        self.compared += other.compared
        self.mismatched += other.mismatched
        self.largest = max(self.largest, other.largest)

    def result(self, node: str) -> NodeCodes:
        """What was counted, of the node called `node`."""
        return NodeCodes(node, self.compared, self.mismatched, self.largest)


@dataclass(slots=True)
class RealSums:
    """Running sums of one node's reals."""

    signal: float = 0.0
    other: float = 0.0
    product: float = 0.0
    noise: float = 0.0

    def add(self, values: Array, reference: Array) -> None:
        """Take in reals of equal shape; quicker where both are one array."""
        same = values is reference
        values, reference = values.reshape(-1), reference.reshape(-1)
        for start in range(0, values.size, BLOCK):
            s, r = values[start : start + BLOCK], reference[start : start + BLOCK]
            square = float((r * r).sum())
            self.signal += square
            if same:
                self.other += square
                self.product += square
                continue
            self.other += float((s * s).sum())
            self.product += float((r * s).sum())
            self.noise += float(np.square(r - s).sum())

    def join(self, further: "RealSums") -> None:
        """Take in the sums of further images."""
        self.signal += further.signal
        self.other += further.other
        self.product += further.product
        self.noise += further.noise

    @property
    def cosine(self) -> float:
        """1 where both are zero throughout, 0 where only one is."""
        if self.noise == 0:
            return 1.0
        both = math.sqrt(self.signal) * math.sqrt(self.other)
        return self.product / both if both else 0.0

    @property
    def sqnr_db(self) -> float:
        """Infinite without noise, minus infinite without a signal."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


@dataclass(slots=True)
class LogitSums:
    """Running sums over images of what their logits say."""

    images: int = 0
    correct: int = 0
    agreeing: int = 0
    kl: float = 0.0

    def add(self, logits: Array, reference: Array, labels: Array) -> None:
        """Take in real logits (B, classes) of both sides, and labels (B,)."""
        predicted = logits.argmax(1)
        self.images += len(logits)
        self.correct += int((predicted == labels).sum())
        self.agreeing += int((predicted == reference.argmax(1)).sum())
        log_p, log_q = _log_softmax(reference), _log_softmax(logits)
        self.kl += float((np.exp(log_p) * (log_p - log_q)).sum())

    def join(self, other: "LogitSums") -> None:
        """Take in the sums of further images."""
        self.images += other.images
        self.correct += other.correct
        self.agreeing += other.agreeing
        self.kl += other.kl

    def result(self) -> Predictions:
        """What was summed. A sum of rounding errors may be negative, a divergence not."""
        return Predictions(self.images, self.correct, self.agreeing, max(0.0, self.kl) / max(1, self.images))


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result
