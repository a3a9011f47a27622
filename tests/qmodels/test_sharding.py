"""The evidence is the same whoever made its shards; what was kept is used once, and only where nothing has changed."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import workloads
from hwsim.errors import HwsimError
from qmodels import builder, checkpoint, data, evidence, sharding
from qmodels.backends import Workers
from qmodels.examiner import Examiner, Shard, shards
from qmodels.resume import Kept
from qmodels.what_if import WhatIf

WORKLOAD = workloads.find("digits_w4a4")
IMAGES, SIZE = 10, 4
WHAT_IF = WhatIf(12, "wrap", 64, ("blocks.*.mlp.fc1*:msb:0.01",), 3)


@pytest.fixture(scope="module")
def mixed():
    return evidence.subject_of(WORKLOAD)


@pytest.fixture(scope="module")
def lowered(mixed):
    return mixed.lowered("lut", data.load(WORKLOAD, "train", limit=8)[0])


@pytest.fixture(scope="module")
def batches():
    return data.batches(WORKLOAD, "test", limit=IMAGES)


@pytest.fixture
def examined(monkeypatch):
    """The shards that were examined in this process."""
    seen, examine = [], Examiner.examine

    def note(self, shard, done=None):
        seen.append(shard)
        return examine(self, shard, done)

    monkeypatch.setattr(Examiner, "examine", note)
    return seen


def same(one, other):
    """Are two Evidences equal to the last bit?"""
    assert one.records() == other.records()
    assert one.reports[0].predictions == other.reports[0].predictions
    a, b = one.report.divergence, other.report.divergence
    assert (a is None) == (b is None)
    if a:
        assert a.place() == b.place()
        assert all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
    return True


@pytest.mark.parametrize(
    ("form", "what_if", "backend"),
    [
        ("mixed", None, "loky"),
        pytest.param("lowered", None, "loky", marks=pytest.mark.slow),
        pytest.param("mixed", WHAT_IF, "loky", marks=pytest.mark.slow),
        ("lowered", None, "dask"),
    ],
)
def test_many_workers_show_what_one_does(form, what_if, backend, batches, request, tmp_path):
    if backend == "dask":
        pytest.importorskip("distributed")
    subject, told = request.getfixturevalue(form), []
    alone = evidence.gather(subject, batches, what_if=what_if, threads=1, shard_images=SIZE)
    job = sharding.job_of(subject, batches, what_if=what_if)
    kept = Kept(tmp_path, "key", shards(IMAGES, SIZE))
    found = sharding.gather(
        subject,
        batches,
        job,
        Workers(2, backend),
        kept=kept,
        shard_images=SIZE,
        progress=lambda *done: told.append(done),
    )
    assert same(found, alone)
    assert str(kept) == "3 of 3 shards"
    assert told[0] == (0, 10)
    assert told[-1] == (10, 10)
    assert len(told) == 4


def test_what_is_kept_is_not_examined_again(mixed, batches, examined, tmp_path):
    job, every = sharding.job_of(mixed, batches), shards(IMAGES, SIZE)

    def gather(progress=None):
        kept = Kept(tmp_path, job.key(batches), every)
        return sharding.gather(mixed, batches, job, Workers(threads=1), kept=kept, shard_images=SIZE, progress=progress)

    def stop(done, _total):
        if done > 2 * SIZE:
            raise KeyboardInterrupt

    whole = evidence.gather(mixed, batches, shard_images=SIZE, threads=1)
    assert examined == list(every)
    examined.clear()
    with pytest.raises(KeyboardInterrupt):
        gather(stop)
    assert examined == list(every)
    examined.clear()
    told = []
    assert same(gather(lambda *done: told.append(done)), whole)
    assert examined == [Shard(8, 10)]
    assert told == [(8, 10), (10, 10)]
    examined.clear()
    (tmp_path / job.key(batches) / "4-8.json").write_text("{")
    assert same(gather(), whole)
    assert examined == [Shard(4, 8)]


def test_whatever_changes_the_numbers_changes_the_key(mixed, lowered, batches, tmp_path, monkeypatch):
    job = sharding.job_of(mixed, batches)
    narrow = mixed.lowered("lut", data.load(WORKLOAD, "train", limit=8)[0], residual_bits=12)
    other = mixed.lowered("lut", data.load(WORKLOAD, "train", limit=4)[0])
    model = builder.build(WORKLOAD)
    file = tmp_path / "same.safetensors"
    checkpoint.save(model, "digits_w4a4", file)
    next(model.parameters()).data += 0.5
    moved = tmp_path / "moved.safetensors"
    checkpoint.save(model, "digits_w4a4", moved)
    fewer, train = data.batches(WORKLOAD, "test", limit=9), data.batches(WORKLOAD, "train", limit=IMAGES)
    keys = [
        job.key(batches),
        sharding.job_of(mixed, batches, file).key(batches),
        sharding.job_of(mixed, batches, moved).key(batches),
        sharding.job_of(mixed, fewer).key(fewer),
        sharding.job_of(mixed, train, split="train").key(train),
        sharding.job_of(mixed, batches, what_if=WHAT_IF).key(batches),
        sharding.job_of(mixed, batches, what_if=dataclasses.replace(WHAT_IF, seed=4)).key(batches),
        *(sharding.job_of(subject, batches).key(batches) for subject in (lowered, narrow, other)),
    ]
    assert len(set(keys)) == len(keys)
    assert job.key(batches) == sharding.job_of(mixed, batches).key(batches) == job.key(job.batches())
    monkeypatch.setattr(sharding, "_code", lambda: "other code")
    assert job.key(batches) not in keys


def test_other_files_are_other_images(tmp_path):
    workload = workloads.find("deit_tiny_patch16_224_w4a4")
    folder = tmp_path / "validation" / "ant"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (40, 40)).save(folder / f"{name}.png")

    def seen(limit=None):
        return data.batches(workload, "validation", tmp_path, limit).fingerprint()

    before, first = seen(), seen(1)
    assert before != first
    (folder / "b.png").rename(folder / "c.png")
    assert before != seen()
    assert first == seen(1)
    Image.new("RGB", (90, 40)).save(folder / "a.png")
    assert first != seen(1)


def test_a_worker_that_has_something_else_is_refused(mixed, batches):
    job = sharding.job_of(mixed, batches)
    with pytest.raises(HwsimError) as caught:
        sharding.examine(job, "another key", 0, 1, 1)
    assert str(caught.value) == (
        "digits_w4a4: every worker must have the same checkpoint, images and versions, got others; install the same "
        "hwsim everywhere and share the folders"
    )


def test_a_worker_makes_what_it_needs_once(mixed, batches, monkeypatch):
    job, made = sharding.job_of(mixed, batches), []
    examiner = sharding.Job.examiner
    monkeypatch.setattr(sharding.Job, "examiner", lambda self, *rest: made.append(self) or examiner(self, *rest))
    for start in (0, 2):
        found = sharding.examine(job, job.key(batches), start, start + 2, 1)
        assert found["shard"] == [start, start + 2]
    assert made == [job]
