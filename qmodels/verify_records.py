"""The records of a VerifyReport: one row per number, tagged with its form and settings, what-if, mode and dtype.

A number that is not finite has no row: there is no `node_sqnr` where the codes are the reference's throughout.
"""

import math

from hwsim.record import Record
from hwsim.study.accumulators import Overflow
from qmodels.verification import VerifyReport

Tags = tuple[tuple[str, str], ...]


def records_of(workload: str, report: VerifyReport, tags: Tags) -> list[Record]:
    """Every number of `report`; of a float32 one, the codes and the accuracy of the reference alone."""
    rows = _codes(workload, report, tags)
    if report.dtype == "float32":
        return [*rows, _row(workload, "accuracy_fake_quant_float32", report.predictions["fake_quant"].accuracy, tags)]
    return [*rows, *_predictions(workload, report, tags), *_nodes(workload, report, tags)]


def overflow_records(workload: str, overflows: dict[str, Overflow], tags: Tags) -> list[Record]:
    """Per product and in all: outputs that are not the exact sum, out of how many, and narrowings that did it."""
    rows: list[Record] = []
    for key in ("overflowed", "outputs", "narrowings"):
        counts = {node: int(getattr(overflow, key)) for node, overflow in overflows.items()}
        unit = "narrowing" if key == "narrowings" else "output"
        rows += _counts(workload, f"accumulator_{key}", counts, unit, tags)
    return rows


def flip_records(workload: str, flips: dict[str, int], tags: Tags) -> list[Record]:
    """Bits flipped, per value and in all."""
    return _counts(workload, "flips", flips, "bit", tags)


def _counts(workload: str, metric: str, counts: dict[str, int], unit: str, tags: Tags) -> list[Record]:
    if not counts:
        return []
    rows = [_row(workload, f"node_{metric}", count, tags, unit, node) for node, count in counts.items()]
    return [_row(workload, metric, sum(counts.values()), tags, unit), *rows]


def _row(workload: str, metric: str, value: float | str, tags: Tags, unit: str = "fraction", node: str = "") -> Record:
    return Record(workload, metric, value, unit, node, source="measured", tags=tags)


def _predictions(name: str, report: VerifyReport, tags: Tags) -> list[Record]:
    found = report.predictions
    names = {"teacher": "float_teacher"}
    rows = [_row(name, f"accuracy_{names.get(who, who)}", what.accuracy, tags) for who, what in found.items()]
    rows.append(_row(name, "prediction_agreement", found["integer"].agreement, tags))
    rows.append(_row(name, "kl_divergence", found["integer"].kl, tags, "nat"))
    if "exact" in found:
        rows.append(_row(name, "prediction_agreement_exact", found["exact"].agreement, tags))
        rows.append(_row(name, "kl_divergence_exact", found["exact"].kl, tags, "nat"))
    rows.append(_row(name, "images", report.images, tags, "image"))
    shared, absent = len(report.reals), len(report.absent)
    compared = max((len(nodes) for nodes in report.modes.values()), default=0)
    rows.append(_row(name, "quantizers", shared + absent, tags, "node"))
    rows.append(_row(name, "quantizers_compared", compared, tags, "node"))
    return rows


def _codes(name: str, report: VerifyReport, tags: Tags) -> list[Record]:
    rows = []
    for mode, nodes in report.modes.items():
        both = (*tags, ("mode", mode), ("dtype", report.dtype))
        rows.append(_row(name, "codes_compared", report.compared(mode), both, "code"))
        rows.append(_row(name, "codes_mismatched", report.mismatched(mode), both, "code"))
        rows.append(_row(name, "first_diverging_node", report.first_diverging(mode), both, "node"))
        for node in nodes:
            rows.append(_row(name, "node_codes_compared", node.compared, both, "code", node.node))
            rows.append(_row(name, "node_codes_mismatched", node.mismatched, both, "code", node.node))
            rows.append(_row(name, "node_largest_step", node.largest, both, "step", node.node))
    return rows


def _nodes(name: str, report: VerifyReport, tags: Tags) -> list[Record]:
    rows = []
    for node in report.reals:
        rows.append(_row(name, "node_cosine", node.cosine, tags, "", node.node))
        if math.isfinite(node.sqnr_db):
            rows.append(_row(name, "node_sqnr", node.sqnr_db, tags, "dB", node.node))
        rows.append(_row(name, "node_saturation", node.saturation, tags, "fraction", node.node))
    for product in report.accumulators:
        values = {"bits_proven": product.codes_bits, "bits_weights": product.weights_bits}
        if product.seen:
            values |= {"bits_seen": product.seen.bits, "low_seen": product.seen.low, "high_seen": product.seen.high}
        for key, value in values.items():
            unit = "bit" if key.startswith("bits") else ""
            rows.append(_row(name, f"node_accumulator_{key}", value, tags, unit, product.node))
    return rows
