"""Shards cover the images; each reads its own alone; joined, they say what the whole says."""

import json

import pytest

import workloads
from hwsim.errors import HwsimError
from qmodels import data, evidence
from qmodels.examiner import Finding, Shard, shards
from qmodels.what_if import WhatIf

WORKLOAD = workloads.find("digits_w4a4")
WHAT_IF = WhatIf(12, "wrap", 64, ("blocks.*.mlp.fc1*:msb:0.01",), 3)


@pytest.fixture(scope="module")
def mixed():
    return evidence.subject_of(WORKLOAD)


@pytest.fixture(scope="module")
def lowered(mixed):
    return mixed.lowered("lut", data.load(WORKLOAD, "train", limit=8)[0])


class Watched:
    """A dataset that notes which items were asked for."""

    def __init__(self, dataset):
        self.dataset, self.asked = dataset, []

    def __getitem__(self, index):
        self.asked.append(index)
        return self.dataset[index]


def test_shards_cover_all_images_in_order():
    assert shards(7, 3) == (Shard(0, 3), Shard(3, 6), Shard(6, 7))
    assert shards(0, 3) == ()
    assert [shard.images for shard in shards(64)] == [32, 32]


def test_a_shard_reads_its_images_alone(mixed):
    batches = data.batches(WORKLOAD, "test", limit=12, size=2)
    watched = Watched(batches.dataset)
    examiner = evidence.examiner_of(mixed, data.Batches(watched, 12, 2), None, 1)
    told = []
    finding = examiner.examine(Shard(4, 9), told.append)
    assert watched.asked == [4, 5, 6, 7, 8]
    assert told == [2, 2, 1]
    assert [tally.images for tally in finding.tallies] == [5, 5]


def counts(found):
    """All numbers of an Evidence that are counts."""
    return [record for record in found.records() if isinstance(record.value, int | str)]


def numbers(found):
    """All numbers that are not."""
    return [record.value for record in found.records() if isinstance(record.value, float)]


@pytest.mark.parametrize(("form", "what_if"), [("mixed", None), ("lowered", None), ("mixed", WHAT_IF)])
def test_counts_do_not_depend_on_the_shards(form, what_if, request):
    """And floats only by the order in which they are added."""
    subject, batches = request.getfixturevalue(form), data.batches(WORKLOAD, "test", limit=10, size=4)
    whole = evidence.gather(subject, batches, what_if=what_if, threads=1)
    cut = evidence.gather(subject, batches, what_if=what_if, threads=2, shard_images=3)
    assert counts(cut) == counts(whole)
    assert numbers(cut) == pytest.approx(numbers(whole), rel=1e-9, abs=1e-12)
    if what_if:
        assert cut.arithmetic.flips == whole.arithmetic.flips
        assert cut.arithmetic.overflows == whole.arithmetic.overflows
        assert any(not subject.graph.specs[name].batched for name in whole.arithmetic.flips)


def test_the_divergence_of_shards_is_that_of_all(lowered):
    batches = data.batches(WORKLOAD, "test", limit=10, size=4)
    whole, cut = (
        evidence.gather(lowered, batches, shard_images=size, threads=1).report.divergence for size in (100, 3)
    )
    assert whole is not None
    assert cut.place() == whole.place()
    assert cut.arrays.keys() == whole.arrays.keys()
    assert all((cut.arrays[name] == whole.arrays[name]).all() for name in ("got", "expected"))


@pytest.mark.parametrize("what_if", [None, WHAT_IF])
def test_findings_go_through_json_to_the_last_bit(mixed, what_if):
    batches = data.batches(WORKLOAD, "test", limit=4)
    examiner = evidence.examiner_of(mixed, batches, what_if, 1)
    finding = examiner.examine(Shard(1, 4))
    assert Finding.from_json(json.loads(json.dumps(finding.as_json()))) == finding


def test_no_images_are_refused(mixed):
    with pytest.raises(HwsimError) as caught:
        evidence.examiner_of(mixed, data.batches(WORKLOAD, "test").part(0, 0), None, 1)
    assert str(caught.value) == "digits_w4a4: images are needed to compare codes, got none; raise the limit"
