"""Stored crops of a training: made before the first step, or given, and then those of these images, classes and weights."""

import pytest
import torch

from hwsim.errors import BadFile, HwsimError
from qmodels import builder, crop_labels
from qmodels.training import settings
from qmodels.training.parallel import Group
from qmodels.training.stored_crops import stored_crops

ALONE = Group(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def teacher():
    return builder.build("digits_float")


def crops(tmp_path, teacher, *progress, crop_labels="none", changes=None):
    changes = {"crops": "2", "images": "4", "crop_labels": str(crop_labels), **(changes or {})}
    chosen = settings.resolve("digits_w4a4", changes=changes)
    return stored_crops(chosen, teacher, None, tmp_path, ALONE, *progress)


def test_what_is_made_is_told_of_and_may_be_given(teacher, tmp_path):
    told = []
    made = crops(tmp_path, teacher, told.append)
    assert [(p.step, p.steps, p.note) for p in told] == [(4, 4, "crop labels")] * len(told)
    folder = tmp_path / "crops-digits_float-4"
    for given in ({}, {"images": "3"}, {"teacher": "none"}):
        found = crops(tmp_path, None if "teacher" in given else teacher, crop_labels=folder, changes=given)
        assert torch.equal(found.labels.of(3)[2], made.labels.of(3)[2])


def test_answers_that_do_not_fit_are_refused(teacher, tmp_path):
    crops(tmp_path, teacher)
    folder = tmp_path / "crops-digits_float-4"
    with pytest.raises(BadFile) as told:
        crops(tmp_path, teacher, crop_labels=folder, changes={"images": "5"})
    assert str(told.value) == (
        f"{folder}: must hold the crops of 5 images, got 4; choose another folder, or pass --set images=4"
    )
    other = builder.build("digits_float")
    other.head.bias.data += 1
    with pytest.raises(BadFile) as told:
        crops(tmp_path, other, crop_labels=folder)
    assert str(told.value) == (
        f"{folder}: must hold answers of these weights of digits_float, got those of others; choose another folder, or leave "
        "out crop_labels to have them made"
    )


def test_memory_that_does_not_suffice_for_the_teacher(teacher, tmp_path, monkeypatch):
    def fails(*_arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(crop_labels, "_said", fails)
    with pytest.raises(HwsimError) as told:
        crops(tmp_path, teacher)
    assert str(told.value) == (
        "digits_w4a4: memory must suffice for crop labels, got too little on cpu with batch 64; pass --set batch=32"
    )
