"""What the judge says of a model, by other routes."""

import copy

import pytest
import torch
from torch import nn

import workloads
from hwsim.cost.table import tally
from hwsim.cost.units import extra_units
from qmodels import builder, data
from qmodels.evidence import skeleton_of, trace_model
from qmodels.judge import CONVENTION, Judge, costs

LIMIT = 20


@pytest.fixture(scope="module")
def workload():
    return workloads.find("digits_w4a4")


@pytest.fixture(scope="module")
def teacher():
    return builder.build("digits_float")


@pytest.fixture(scope="module")
def model(workload):
    return builder.build(workload)


def of(records, metric, node="", **tags):
    (record,) = (
        r
        for r in records
        if (r.metric, r.node) == (metric, node) and all(r.tag(key) == value for key, value in tags.items())
    )
    return record.value


def test_predictions_over_batches_are_those_of_all_at_once(workload, teacher, model):
    batches = data.batches(workload, "test", limit=LIMIT, size=8)
    images, labels = data.load(workload, "test", limit=LIMIT)
    records = list(Judge.of(teacher, batches).predicted(model, "w"))
    with torch.no_grad():
        found, wanted = (copy.deepcopy(m).double()(images.double()) for m in (model, teacher))
    kl = nn.functional.kl_div(found.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True)
    assert of(records, "method_accuracy", split="test") == pytest.approx(
        (found.argmax(1) == labels).double().mean().item()
    )
    assert of(records, "method_kl_divergence") == pytest.approx(kl.item(), rel=1e-9)
    agreement = (found.argmax(1) == wanted.argmax(1)).double().mean().item()
    assert of(records, "method_agreement") == pytest.approx(agreement)


def test_the_teacher_is_at_no_distance_from_itself(workload, teacher):
    records = list(Judge.of(teacher, data.batches(workload, "test", limit=LIMIT)).predicted(teacher, "w"))
    assert of(records, "method_kl_divergence") == 0
    assert of(records, "method_agreement") == 1


def test_integers_are_run_on_as_many_images_as_asked_for(workload, teacher, model):
    judge = Judge.of(teacher, data.batches(workload, "test", limit=LIMIT), 5)
    records = list(judge.judged(model, trace_model(model, workload), "w"))
    (integers,) = (r for r in records if r.tag("split") == "integer")
    whole = Judge.of(teacher, data.batches(workload, "test", limit=LIMIT))
    both = [r.value for r in whole.judged(model, trace_model(model, workload), "w") if r.metric == "method_accuracy"]
    assert both[0] == both[1]
    assert integers.tag("images") == "5"
    for mode in ("node_by_node", "free_running"):
        assert of(records, "method_mismatches", mode=mode) == 0
        assert of(records, "method_codes", mode=mode) > 5 * 100_000
    assert Judge.of(teacher, data.batches(workload, "test", limit=LIMIT), 50).integer_images == LIMIT


def test_costs_are_those_of_the_cost_model(workload):
    graph = skeleton_of(workload)
    records = list(costs(graph, "w"))
    inner = 4 * (65 * 48 * (144 + 48 + 192 + 192) + 2 * 3 * 65 * 65 * 16)  # MACs of four blocks of 65 tokens
    by_hand = 16 * inner + 64 * (64 * 16 * 48 + 48 * 10)
    assert of(records, "method_operations", convention=CONVENTION) == tally(graph, CONVENTION).total == by_hand
    weights = sum(v.size for name, v in graph.constants.items() if graph.specs[name].quant is not None)
    ends = sum(v.size for name, v in graph.constants.items() if graph.specs[name].bits == 8)
    assert of(records, "method_size") - of(records, "method_size", "extras") == pytest.approx(
        (4 * (weights - ends) + 8 * ends) / 8 + 4 * (graph.meta["parameters"] - weights)
    )
    assert of(records, "method_size", "extras") > 4 * 1000
    units = {unit.name: (unit.times, str(unit.nodes), unit.charged) for unit in extra_units(graph)}
    assert units["norms on q and k"][1] == "8"
    assert {r.node: (r.value, r.tag("nodes"), r.tag("charged")) for r in records if r.metric == "method_unit"} == units


def test_a_float_model_costs_four_bytes_a_parameter():
    graph = skeleton_of(workloads.find("digits_float"))
    records = list(costs(graph, "w"))
    assert of(records, "method_size") == 4 * graph.meta["parameters"]
    assert of(records, "method_size", "extras") == 0
    assert not [r for r in records if r.metric == "method_unit"]


def test_scales_that_are_powers_of_two_need_no_multiplier(workload, model):
    assert of(list(costs(skeleton_of(workload), "w")), "method_shifts_only") == 1  # all scales are 1
    assert of(list(costs(trace_model(model, workload), "w")), "method_shifts_only") == 0
