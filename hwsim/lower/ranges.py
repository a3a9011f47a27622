"""Ranges of the float values of a mixed graph, measured on calibration images: what integer grids are made from."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Graph, Node
from hwsim.op import Array
from hwsim.simulator import check_feeds, run_node, simulate


@dataclass(frozen=True, slots=True)
class Range:
    """What was seen of one value: least and greatest element, the least maximum of a row (over the last axis), and the
    greatest magnitude of each index of the last axis."""

    low: float
    high: float
    row_top: float
    channels: tuple[float, ...]

    def joined(self, other: "Range") -> "Range":
        """The range of both."""
        channels = tuple(max(pair) for pair in zip(self.channels, other.channels, strict=True))
        return Range(min(self.low, other.low), max(self.high, other.high), min(self.row_top, other.row_top), channels)


Ranges = Mapping[str, Range]


def measure(
    graph: Graph,
    feeds: Mapping[str, Array],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ranges:
    """The range of every float input and node of `graph` over the images of `feeds`; memory does not grow with them.

    Raises HwsimError where the feeds are none for this graph, or hold no image.
    """
    check_feeds(graph, feeds)
    seen: dict[str, Range] = {name: _range(np.asarray(value, np.float64)) for name, value in feeds.items()}
    lock = threading.Lock()

    def watch(graph: Graph, node: Node, values: Mapping[str, Array]) -> Array:
        value = run_node(graph, node, values)
        if graph.specs[node.name].quant is None:
            found = _range(value)
            with lock:
                seen[node.name] = found.joined(seen[node.name]) if node.name in seen else found
        return value

    simulate(graph, feeds, threads=threads, progress=progress, execute=watch)
    return seen


def _range(value: Array) -> Range:
    rows = value.reshape(-1, value.shape[-1])
    channels = tuple(float(v) for v in np.abs(rows).max(axis=0))
    return Range(float(rows.min()), float(rows.max()), float(rows.max(axis=1).min()), channels)
