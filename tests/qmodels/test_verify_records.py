"""Every number of a VerifyReport is a record once, with its tags."""

import dataclasses
import math

import pytest

from hwsim.record import Record, read_records, write_records
from hwsim.study.accumulators import Overflow, Range
from qmodels.comparison import NodeAccumulator, NodeCodes, NodeReals, Predictions
from qmodels.verification import VerifyReport
from qmodels.verify_records import flip_records, overflow_records, records_of

TAGS = (("form", "integer"), ("recipe", "lut"))
REPORT = VerifyReport(
    images=40,
    dtype="float64",
    modes={
        "node_by_node": (NodeCodes("a", 100, 0, 0), NodeCodes("b", 200, 3, 2)),
        "free_running": (NodeCodes("a", 100, 1, 1), NodeCodes("b", 200, 30, 4)),
    },
    reals=(NodeReals("a", 0.99, 20.5, 0.01), NodeReals("b", 1.0, math.inf, 0.0), NodeReals("c", 0.5, -1.0, 0.25)),
    absent=("d",),
    predictions={
        "fake_quant": Predictions(40, 30, 40, 0.0),
        "integer": Predictions(40, 29, 38, 0.01),
        "teacher": Predictions(40, 36, 31, 0.2),
        "mixed": Predictions(40, 30, 40, 0.0),
        "exact": Predictions(40, 28, 37, 0.02),
    },
    accumulators=(NodeAccumulator("p", 20, 18, Range(-9000, 16383)), NodeAccumulator("q", 12, 12, None)),
)


def by_key(records):
    rows = {(r.metric, r.node, r.tag("mode"), r.tag("dtype")): r for r in records}
    assert len(rows) == len(records)
    return rows


def test_every_number_is_there():
    rows = by_key(records_of("w", REPORT, TAGS))
    assert {(r.workload, r.tag("form"), r.tag("recipe"), r.source) for r in rows.values()} == {
        ("w", "integer", "lut", "measured")
    }
    whole = {metric: r.value for (metric, node, mode, _), r in rows.items() if not node and not mode}
    assert whole == {
        "accuracy_fake_quant": 0.75,
        "accuracy_integer": 0.725,
        "accuracy_float_teacher": 0.9,
        "accuracy_mixed": 0.75,
        "accuracy_exact": 0.7,
        "prediction_agreement": 0.95,
        "kl_divergence": 0.01,
        "prediction_agreement_exact": 0.925,
        "kl_divergence_exact": 0.02,
        "images": 40,
        "quantizers": 4,
        "quantizers_compared": 2,
    }
    assert rows["codes_compared", "", "free_running", "float64"].value == 300
    assert rows["codes_mismatched", "", "free_running", "float64"].value == 31
    assert rows["first_diverging_node", "", "node_by_node", "float64"].value == "b"
    assert rows["node_codes_mismatched", "b", "free_running", "float64"].value == 30
    assert rows["node_largest_step", "b", "node_by_node", "float64"] == Record(
        "w",
        "node_largest_step",
        2,
        "step",
        "b",
        source="measured",
        tags=(*TAGS, ("mode", "node_by_node"), ("dtype", "float64")),
    )
    assert [rows[f"node_{key}", "a", "", ""].value for key in ("cosine", "sqnr", "saturation")] == [0.99, 20.5, 0.01]
    assert ("node_sqnr", "b", "", "") not in rows
    bits = {node: [r.value for (m, n, *_), r in rows.items() if n == node and "accumulator" in m] for node in "pq"}
    assert bits == {"p": [20, 18, 15, -9000, 16383], "q": [12, 12]}


def test_float32_adds_its_codes_and_the_accuracy_of_fake_quant():
    rows = records_of("w", dataclasses.replace(REPORT, dtype="float32"), ())
    assert {r.metric for r in rows if not r.tag("dtype")} == {"accuracy_fake_quant_float32"}
    assert {r.tag("dtype") for r in rows if r.tag("mode")} == {"float32"}


def test_overflows_and_flips():
    rows = by_key(overflow_records("w", {"p": Overflow(7, 5, 100), "q": Overflow(0, 0, 50)}, TAGS))
    assert {(metric, node): r.value for (metric, node, *_), r in rows.items()} == {
        ("accumulator_overflowed", ""): 5,
        ("node_accumulator_overflowed", "p"): 5,
        ("node_accumulator_overflowed", "q"): 0,
        ("accumulator_outputs", ""): 150,
        ("node_accumulator_outputs", "p"): 100,
        ("node_accumulator_outputs", "q"): 50,
        ("accumulator_narrowings", ""): 7,
        ("node_accumulator_narrowings", "p"): 7,
        ("node_accumulator_narrowings", "q"): 0,
    }
    assert [(r.metric, r.node, r.value) for r in flip_records("w", {"a": 3, "b": 4}, ())] == [
        ("flips", "", 7),
        ("node_flips", "a", 3),
        ("node_flips", "b", 4),
    ]
    assert overflow_records("w", {}, ()) == flip_records("w", {}, ()) == []


@pytest.mark.parametrize("report", [REPORT, dataclasses.replace(REPORT, modes={"free_running": ()})])
def test_records_survive_a_file(report, tmp_path):
    rows = records_of("w", report, TAGS)
    write_records(rows, tmp_path / "r.jsonl")
    assert read_records(tmp_path / "r.jsonl") == tuple(rows)
