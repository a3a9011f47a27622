"""Tallies of ranges that follow each other are that of all, and come back from JSON to the last bit."""

import json

import pytest
import torch

import workloads
from hwsim.study.accumulators import Range
from qmodels import data, evidence
from qmodels.tally import Place, Tally
from qmodels.verification import MODES, Comparison


@pytest.fixture(scope="module")
def comparison():
    subject = evidence.subject_of(workloads.find("digits_w4a4"))
    return Comparison(subject.model, subject.graph, None, MODES, {}, torch.float32, 1)


def tally_of(comparison, start, stop):
    found = comparison.empty()
    ((images, labels),) = data.batches(workloads.find("digits_w4a4"), "test").part(start, stop)
    comparison.add(found, images, labels, start)
    return found


def test_joining_adds_every_number(comparison):
    one, other = tally_of(comparison, 0, 3), tally_of(comparison, 3, 8)
    joined = comparison.empty()
    joined.join(one)
    assert joined == one
    joined.join(other)
    assert joined.images == 8
    for mode, nodes in joined.codes.items():
        for node, count in nodes.items():
            parts = [one.codes[mode][node], other.codes[mode][node]]
            assert count.compared == sum(part.compared for part in parts) > 0
            assert count.mismatched == sum(part.mismatched for part in parts)
            assert count.largest == max(part.largest for part in parts)
    for node, sums in joined.reals.items():
        for key in ("signal", "other", "product", "noise"):
            assert getattr(sums, key) == getattr(one.reals[node], key) + getattr(other.reals[node], key)
        assert joined.clamped[node] == one.clamped[node] + other.clamped[node]
    for name, sums in joined.logits.items():
        for key in ("images", "correct", "agreeing", "kl"):
            assert getattr(sums, key) == getattr(one.logits[name], key) + getattr(other.logits[name], key)
    for node, seen in joined.ranges.items():
        a, b = one.ranges[node], other.ranges[node]
        assert seen == Range(min(a.low, b.low), max(a.high, b.high))


def test_json_brings_it_back(comparison):
    found = tally_of(comparison, 0, 4)
    found.part(Place("head.input", 0, 4, 17))
    assert Tally.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_the_first_node_wins_and_then_the_first_image(comparison):
    early, late = comparison.same[0], comparison.same[-1]
    for places, kept in (
        ([Place(late, 0, 4, 9), Place(early, 4, 8, 1)], 1),
        ([Place(early, 0, 4, 9), Place(late, 4, 8, 1)], 0),
        ([Place(late, 0, 4, 9), Place(late, 4, 8, 1)], 0),
        ([None, Place(late, 4, 8, 1)], 1),
        ([Place(late, 0, 4, 9), None], 0),
    ):
        joined = comparison.empty()
        for place in places:
            part = comparison.empty()
            part.place = place
            joined.join(part)
        assert joined.place == places[kept]
