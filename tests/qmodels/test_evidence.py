"""What is gathered of a workload, and how it is labelled."""

import dataclasses

import pytest
import torch

import workloads
from hwsim.errors import UnknownName
from hwsim.lower import recipe
from qmodels import builder, checkpoint, data, evidence, identity
from qmodels.what_if import WhatIf

WORKLOAD = workloads.find("digits_w4a4")


@pytest.fixture(scope="module")
def subject():
    return evidence.subject_of(WORKLOAD)


@pytest.fixture(scope="module")
def batches():
    return data.batches(WORKLOAD, "test", limit=12)


@pytest.fixture(scope="module")
def calibration():
    return data.load(WORKLOAD, "train", limit=8)[0]


def tags(records, metric="accuracy_integer"):
    (found,) = (r for r in records if r.metric == metric)
    return dict(found.tags)


def test_the_mixed_form_is_compared_in_both_dtypes(subject, batches):
    told = []
    found = evidence.gather(subject, batches, progress=lambda *done: told.append(done))
    assert [report.dtype for report in found.reports] == ["float64", "float32"]
    assert told == [(12, 12)]
    assert found.report.mismatched("free_running") == 0
    assert set(found.report.predictions) == {"fake_quant", "integer", "teacher"}
    assert tags(found.records()) == {"abits": "4", "wbits": "4", "form": "mixed"}
    assert tags(found.records(), "accuracy_fake_quant_float32") == tags(found.records())


@pytest.mark.parametrize(
    ("name", "teacher"),
    [
        ("digits_w4a4", "digits_float"),
        ("digits_deit_w4a4_lsq", "digits_float"),
        ("digits_float", None),
        ("deit_tiny_patch16_224_w4a4", None),  # none is shipped
    ],
)
def test_the_teacher_is_the_one_that_is_shipped(name, teacher):
    assert evidence.teacher_of(workloads.find(name)) == (teacher and workloads.find(teacher))


def test_the_teacher_is_the_one_that_a_checkpoint_learned_from(tmp_path, monkeypatch):
    model, teacher = builder.build(WORKLOAD), builder.build("digits_float")
    shipped = identity.digest(teacher)
    for said, found in (
        ({}, "digits_float"),
        ({"teacher": "digits_float", identity.TEACHER: shipped}, "digits_float"),
        ({"teacher": "digits_float", identity.TEACHER: "of another"}, None),
        ({"teacher": ""}, None),
    ):
        checkpoint.save(model, WORKLOAD.name, tmp_path / "c", said)
        assert evidence.teacher_of(WORKLOAD, tmp_path / "c") == (found and workloads.find(found))
    monkeypatch.setattr(evidence, "trace_model", lambda *_: None)
    assert evidence.subject_of(WORKLOAD, tmp_path / "c").checkpoint == tmp_path / "c"


def test_agreement_is_that_of_the_mixed_form(subject, batches):
    assert evidence.agreement(WORKLOAD, limit=12) == evidence.gather(subject, batches).records()


def test_the_integer_form_is_labelled_with_its_recipe(subject, batches, calibration):
    lowered = subject.lowered("lut", calibration)
    assert (subject.form, subject.recipe, lowered.form, lowered.recipe) == ("mixed", "", "integer", "lut")
    assert lowered.mixed is subject.graph
    found = evidence.gather(lowered, batches)
    assert [report.dtype for report in found.reports] == ["float64"]
    assert set(found.report.predictions) == {"fake_quant", "integer", "teacher", "mixed"}
    assert tags(found.records()) == {
        "abits": "4",
        "wbits": "4",
        "form": "integer",
        "recipe": "lut",
        "rounding": "half_even",
        "calibration_images": "8",
    }


def test_settings_that_change_the_numbers_are_labels(subject, calibration):
    narrow = subject.lowered("lut", calibration, residual_bits=8)
    assert dict(narrow.settings)["residual_bits"] == "8"
    assert "residual_bits" not in dict(subject.lowered("lut", calibration, residual_bits=16).settings)
    floor = subject.lowered(recipe.find("lut").changed(rounding="floor"), calibration)
    assert dict(floor.settings)["rounding"] == floor.graph.meta["rounding"] == "floor"
    assert not narrow.other_grids
    assert subject.lowered("p2vit", calibration).other_grids


def test_images_other_than_the_test_images_are_a_label():
    records = evidence.agreement(WORKLOAD, limit=2, split="train")
    assert tags(records) == {"abits": "4", "wbits": "4", "form": "mixed", "split": "train"}


def test_an_unknown_recipe_is_answered_with_the_known_ones(subject, calibration):
    with pytest.raises(UnknownName, match="recipe: unknown name, got 'lutt'; known, nearest first: lut"):
        subject.lowered("lutt", calibration)


def test_a_what_if_is_labelled_and_counted(subject, batches):
    what_if = WhatIf(16, "saturate", flips=("blocks.0.mlp.fc1:msb:0.01",))
    found = evidence.gather(subject, batches, what_if=what_if)
    rows = found.records()
    assert tags(rows)["what_if"] == str(what_if)
    assert {r.metric for r in rows} >= {"accuracy_exact", "flips", "node_flips", "node_accumulator_overflowed"}
    (flips,) = (r.value for r in rows if r.metric == "flips")
    assert flips == sum(found.arithmetic.flips.values()) > 0


def test_a_workload_without_a_teacher(batches):
    found = workloads.find("digits_deit_w4a4")
    workload = dataclasses.replace(found, recipe=dataclasses.replace(found.recipe, teacher=""))
    torch.manual_seed(0)
    found = evidence.gather(evidence.subject_of(workload), data.batches(workload, "test", limit=2))
    assert "teacher" not in found.report.predictions
    assert found.report.mismatched("node_by_node") == 0
