"""The records of accumulators (S15): how wide they must be, by group of layers, and what becomes of narrower ones."""

from collections.abc import Mapping

from hwsim.cli._suites._digits import Ready
from hwsim.cost.groups import group_of
from hwsim.graph import Graph
from hwsim.record import Record
from hwsim.study.accumulators import Accumulator, Range, Width, widths
from workloads.workload import Workload

COLLAPSED = 0.2
"""Accuracy at which narrowing ends: twice that of chance."""


def width_records(graph: Graph, workload: Workload, seen: Mapping[str, Range]) -> list[Record]:
    """Per group of layers: the longest K, and the widest accumulator by code ranges, by the weights, and by what was seen."""
    bits = workload.bits
    weights = "trained" if workload.checkpoint else "random"
    tags = (("wbits", str(bits.weights)), ("abits", str(bits.activations)), ("weights", weights))
    groups: dict[str, list[Width]] = {}
    for width in widths(graph):
        groups.setdefault(group_of(width.node, graph.node(width.node).op), []).append(width)
    rows = []
    for group, found in groups.items():
        values = {"k": max(w.k for w in found)}
        values["bits_codes"] = max(w.codes.bits for w in found)
        values["bits_weights"] = max(w.weights.bits for w in found)
        ranges = [seen[w.node].bits for w in found if w.node in seen]
        values |= {"bits_seen": max(ranges)} if ranges else {}
        for key, value in values.items():
            unit, source = "product" if key == "k" else "bit", "measured" if key == "bits_seen" else "computed"
            metric = f"group_accumulator_{key}"
            rows.append(Record(workload.model.name, metric, value, unit, group, source=source, tags=tags))
    return rows


def narrow_points(digits: Ready, overflow: str) -> list[Record]:
    """Accuracy of the mixed form with accumulators from the proven width down to where it is gone.

    As long as all finished sums fit, nothing overflows (the whole K is summed before it is narrowed), so nothing is run.
    """
    found = widths(digits.mixed)
    fits = max(seen.bits for seen in digits.sums.values())
    marks = {"codes": max(w.codes.bits for w in found), "weights": max(w.weights.bits for w in found), "seen": fits}
    exact = digits.judged(digits.logits)
    rows = []
    for bits in range(marks["codes"], 1, -1):
        share, said = 0.0, exact
        if bits < fits:
            accumulator = Accumulator(bits, overflow)
            said = digits.judge(digits.mixed, accumulator)
            counts = accumulator.overflows.values()
            share = sum(c.overflowed for c in counts) / sum(c.outputs for c in counts)
        tags = {"acc_bits": bits, "overflow": overflow, "overflowed": f"{share:.3g}"}
        proofs = {f"bits_{how}": width for how, width in marks.items()}
        rows += digits.point("accumulator_width", said, "mixed", **tags, **proofs)
        if said.accuracy <= COLLAPSED:
            break
    return rows
