"""Stored answers are the teacher's; a run that was stopped goes on; a damaged folder is told in one line."""

import json

import pytest
import safetensors.numpy
import torch
from torch import nn

from hwsim.errors import BadFile, HwsimError
from hwsim.tensors import KEY, read_tensors
from qmodels import crop_labels
from qmodels.crop_labels import FORMAT, CropLabels, make
from qmodels.cropping import Drawing, cut
from qmodels.crops import Crops

SIZE = (8, 8)
DRAWING = Drawing(stored=6, scale=(0.3, 1.0), top=3)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(crop_labels, "PART", 4)


@pytest.fixture
def images():
    return torch.rand(10, 2, 12, 10)


@pytest.fixture
def teacher():
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 64, 7)).requires_grad_(False)


def _make(folder, images, teacher, drawing=DRAWING, **more):
    return make(folder, images.__getitem__, len(images), teacher, SIZE, drawing, {"teacher": "t"}, **more)


def test_labels_are_the_teachers_where_they_are_kept_and_even_elsewhere(images, teacher, tmp_path):
    labels = _make(tmp_path, images, teacher, batch=5)
    assert (labels.images, labels.stored, labels.classes) == (10, 6, 7)
    for index in (0, 3, 4, 9):
        boxes, mirrored, logits = labels.of(index)
        wanted, flips = DRAWING.crops(index, 12, 10)
        assert torch.equal(boxes, wanted)
        assert torch.equal(mirrored, flips)
        for crop in range(6):
            said = teacher(cut(images[index], boxes[crop], bool(mirrored[crop]), SIZE)[None]).softmax(1)[0]
            kept = said.topk(3).indices
            ours = logits[crop].exp()
            assert torch.allclose(ours[kept], said[kept], atol=1e-6)
            others = [c for c in range(7) if c not in kept]
            assert torch.allclose(ours[others], ((1 - said[kept].sum()) / 4).expand(4), atol=1e-6)
            assert ours.sum().item() == pytest.approx(1, abs=1e-5)


def test_all_classes_may_be_kept(images, teacher, tmp_path):
    labels = _make(tmp_path, images[:2], teacher, Drawing(stored=2, top=99))
    boxes, mirrored, logits = labels.of(1)
    said = teacher(torch.stack([cut(images[1], b, bool(m), SIZE) for b, m in zip(boxes, mirrored, strict=True)]))
    assert torch.allclose(logits, said.log_softmax(1), atol=1e-5)


def test_a_run_that_was_stopped_goes_on(images, teacher, tmp_path):
    def stopped(index):
        if index == 9:
            raise KeyboardInterrupt
        return images[index]

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "a", stopped, 10, teacher, SIZE, DRAWING, {"teacher": "t"})
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["part-00000.safetensors", "part-00001.safetensors"]
    with pytest.raises(BadFile, match=r"must be there, for 10 images, got no such file; make the labels to the end$"):
        CropLabels(tmp_path / "a")
    asked, done = [], []

    def counted(index):
        asked.append(index)
        return images[index]

    make(tmp_path / "a", counted, 10, teacher, SIZE, DRAWING, {"teacher": "t"}, progress=lambda *n: done.append(n))
    assert asked == [8, 9]
    assert done == [(10, 10), (10, 10)]
    make(tmp_path / "a", counted, 10, teacher, SIZE, DRAWING, {"teacher": "t"}, batch=1, progress=print)
    assert asked == [8, 9]
    _make(tmp_path / "b", images, teacher)
    for a, b in zip(sorted((tmp_path / "a").iterdir()), sorted((tmp_path / "b").iterdir()), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_several_processes_make_parts_of_their_own_and_wait_for_the_files(images, teacher, tmp_path, monkeypatch):
    asked, told = {0: [], 1: []}, []

    def one(rank):
        def counted(index):
            asked[rank].append(index)
            return images[index]

        facts, more = {"teacher": "t"}, {"rank": rank, "ranks": 2, "batch": 6}
        if rank == 0:
            more["progress"] = lambda *n: told.append(n)
        return make(tmp_path / "two", counted, 10, teacher, SIZE, DRAWING, facts, **more)

    made = []
    monkeypatch.setattr(crop_labels.time, "sleep", lambda _: made.append(one(1)))  # the other's turn
    made.append(one(0))
    assert asked == {0: [0, 1, 2, 3, 8, 9], 1: [4, 5, 6, 7]}
    assert [labels.images for labels in made] == [10, 10]
    assert told[-1] == (10, 10)
    assert told == sorted(told)
    _make(tmp_path / "one", images, teacher, batch=6)
    for a, b in zip(sorted((tmp_path / "one").iterdir()), sorted((tmp_path / "two").iterdir()), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_answers_about_other_images_or_classes(images, teacher, tmp_path):
    labels = make(tmp_path, images.__getitem__, 10, teacher, SIZE, DRAWING, {"data": "10 images"})
    labels.check(SIZE, 7, lambda n: f"{n} images")
    for wrong, said in (
        ((SIZE, 8, str), "classes 8, got 7"),
        (((8, 9), 7, str), "size [8, 9], got [8, 8]"),
        ((SIZE, 7, lambda n: f"{n} others"), "data 10 others, got 10 images"),
    ):
        with pytest.raises(BadFile) as told:
            labels.check(*wrong)
        assert str(told.value) == (
            f"{tmp_path}: must hold answers to these images, {said}; choose another folder, or leave out crop_labels to have "
            "them made"
        )


def test_other_settings_do_not_mix_with_what_is_there(images, teacher, tmp_path):
    _make(tmp_path, images, teacher)
    with pytest.raises(
        BadFile, match=r"part-00000.safetensors: seed must be 1, as asked for, got 0; choose another folder"
    ):
        _make(tmp_path, images, teacher, Drawing(stored=6, scale=(0.3, 1.0), top=3, seed=1))
    with pytest.raises(
        BadFile, match=r"part-00000.safetensors: images must be 9, as asked for, got 10; choose another"
    ):
        _make(tmp_path, images[:9], teacher)


def test_what_is_wrong_with_a_folder(images, teacher, tmp_path):
    with pytest.raises(
        BadFile, match=r"part-00000.safetensors: must hold crop labels, got no such file; make them first$"
    ):
        CropLabels(tmp_path)
    labels = _make(tmp_path, images, teacher)
    with pytest.raises(
        HwsimError, match=r"holds the crops of 10 images, got the index 10; make labels of these images$"
    ):
        labels.of(10)
    path = tmp_path / "part-00001.safetensors"
    tensors, text = read_tensors(path, FORMAT, "")
    _write(path, {**tensors, "classes": tensors["classes"] + 7}, text)
    with pytest.raises(
        BadFile, match=r"must hold crop labels, got values beyond their range of the image 5; remove the"
    ):
        CropLabels(tmp_path).of(5)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        BadFile, match=r"part-00001.safetensors: must hold crop labels, got .*; remove the folder and make"
    ):
        CropLabels(tmp_path).of(5)
    with pytest.raises(BadFile, match=r"part-00001.safetensors: must hold crop labels, got .*; remove the folder and"):
        _make(tmp_path, images, teacher)
    _write(tmp_path / "part-00000.safetensors", tensors, {**text, "format": "else"})
    with pytest.raises(BadFile, match=r"must hold crop labels, got the format else; remove the folder"):
        CropLabels(tmp_path)


def _write(path, tensors, text):
    path.write_bytes(safetensors.numpy.save(tensors, metadata={KEY: json.dumps(text)}))


def test_crops_of_a_step_are_those_of_the_labels(images, teacher, tmp_path):
    labels = _make(tmp_path, images, teacher)
    crops = Crops(images.__getitem__, labels, 3, SIZE)
    chosen = crops.choose(2, torch.Generator().manual_seed(0))
    assert chosen.shape == (2, 3)
    pictures, logits = crops.take(torch.tensor([7, 2]), chosen)
    assert (pictures.shape, logits.shape) == ((6, 2, *SIZE), (6, 7))
    for row, (index, crop) in enumerate(zip([7, 7, 7, 2, 2, 2], chosen.flatten().tolist(), strict=True)):
        boxes, mirrored, said = labels.of(index)
        assert torch.equal(pictures[row], cut(images[index], boxes[crop], bool(mirrored[crop]), SIZE))
        assert torch.equal(logits[row], said[crop])


def test_each_stored_crop_is_shown_as_often_and_none_twice_in_a_step(images, teacher, tmp_path):
    crops = Crops(images.__getitem__, _make(tmp_path, images, teacher), 2, SIZE)
    chosen = crops.choose(30_000, torch.Generator().manual_seed(0))
    assert (chosen[:, 0] != chosen[:, 1]).all()
    assert torch.allclose(chosen.flatten().bincount() / 60_000, torch.full((6,), 1 / 6), atol=0.005)


def test_more_crops_than_there_are(images, teacher, tmp_path):
    labels = _make(tmp_path, images, teacher)
    with pytest.raises(
        HwsimError, match=r"^crops: must be 1..6, as many as .* holds of each image, got 7; take fewer, or"
    ):
        Crops(images.__getitem__, labels, 7, SIZE)
