import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import workloads
from hwsim.errors import BadFile, HwsimError, UnknownName
from qmodels import data


def test_splits_are_a_partition_of_the_stated_sizes():
    dataset = workloads.find("digits_float").dataset
    parts = {split: data.digits(split) for split in data.SPLITS}
    for split, (images, labels) in parts.items():
        assert images.shape == (getattr(dataset, split), 1, 32, 32)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert set(labels.tolist()) == set(range(10))
    everything = torch.cat([labels for _, labels in parts.values()])
    assert torch.equal(everything.sort()[0], torch.from_numpy(np.sort(load_digits().target)))


def test_values_are_exact_multiples_of_1_over_512_in_range():
    images, _ = data.digits("test")
    assert images.min() == -1
    assert images.max() <= 1
    assert torch.equal(images * 512, (images * 512).round())


def test_the_first_test_image_is_the_first_scan():
    images, labels = data.digits("test")
    assert labels[0] == load_digits().target[0]
    middle = images[0, 0].reshape(8, 4, 8, 4).mean((1, 3))  # bilinear enlargement keeps the inner means near
    scan = torch.from_numpy(load_digits().images[0]).float() / 8 - 1
    assert torch.corrcoef(torch.stack([middle.flatten(), scan.flatten()]))[0, 1] > 0.95


def test_unknown_split():
    with pytest.raises(UnknownName, match="split: unknown name, got 'valid'; known, nearest first: validation, "):
        data.digits("valid")


def test_image_folder(tmp_path):
    for label, name in enumerate(("ant", "bee")):
        folder = tmp_path / "validation" / name
        folder.mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.full((40 + i, 50, 3), 100 * label, np.uint8)).save(folder / f"{i}.png")
    images, labels = data.load(workloads.find("deit_tiny_patch16_224_w4a4"), "validation", tmp_path, limit=3)
    assert images.shape == (3, 3, 224, 224)
    assert labels.tolist() == [0, 0, 1]
    assert images[0].mean() < images[2].mean()
    two = data.batches(workloads.find("deit_tiny_patch16_224_w4a4"), "validation", tmp_path, limit=2)
    assert next(iter(two))[1].tolist() == [0, 1], "class by class as they lie, a part of them is of all classes"
    assert [next(iter(each))[1].tolist() for each in (two.spread(1), two.part(1, 2))] == [[0], [1]]
    assert len({each.fingerprint() for each in (two, two.spread(1), two.part(0, 2).part(1, 2))}) == 3


def test_digits_are_spread_where_that_is_asked_for():
    images, labels = data.load(workloads.find("digits_w4a4"), "test", limit=10)
    (few,) = data.batches(workloads.find("digits_w4a4"), "test", limit=10).part(1, 10).spread(3)
    assert torch.equal(few[0], images[[1, 4, 7]])
    assert torch.equal(few[1], labels[[1, 4, 7]])


def test_a_missing_or_empty_folder_is_named(tmp_path):
    workload = workloads.find("deit_tiny_patch16_224_w4a4")
    with pytest.raises(HwsimError) as caught:
        data.load(workload, "validation", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'validation'}: must be a folder with one folder of images per class, got none; pass --data ROOT"
    )
    (tmp_path / "validation").mkdir()
    with pytest.raises(HwsimError, match="must hold CLASS/IMAGE files, got no image; check the folder"):
        data.load(workload, "validation", tmp_path)
    with pytest.raises(HwsimError, match="imagenet: images must be brought along, got no folder; pass --data ROOT"):
        data.load(workload, "validation")


def test_batches_are_read_when_asked_for_and_can_be_read_again():
    workload = workloads.find("digits_w4a4")
    batches = data.batches(workload, "test", limit=70, size=32)
    assert (batches.images, batches.size) == (70, 32)
    for _ in range(2):
        parts = list(batches)
        assert [len(images) for images, _ in parts] == [32, 32, 6]
        images, labels = data.digits("test")
        assert torch.equal(torch.cat([part for part, _ in parts]), images[:70])
        assert torch.equal(torch.cat([part for _, part in parts]), labels[:70])
    assert data.batches(workload, "test").images == data.batches(workload, "test", limit=10**6).images == 360


def test_a_part_reads_its_images_alone(tmp_path):
    workload, folder = workloads.find("deit_tiny_patch16_224_w4a4"), tmp_path / "validation" / "ant"
    folder.mkdir(parents=True)
    for i in (3, 1, 2, 0):  # in no order
        Image.fromarray(np.full((40, 40, 3), 50 * i, np.uint8)).save(folder / f"{i}.png")
    (folder / "0.png").write_bytes(b"no image")
    (folder / "3.png").write_bytes(b"no image")
    batches = data.batches(workload, "validation", tmp_path, size=1)
    one, two = (images.mean() for images, _ in batches.part(1, 3))
    assert one < two
    (again,) = batches.part(1, 4).part(1, 2)
    assert again[0].mean() == two
    assert [len(images) for images, _ in data.batches(workloads.find("digits_w4a4"), "test").part(30, 70)] == [32, 8]


def test_a_file_that_is_no_image_is_named(tmp_path):
    folder = tmp_path / "validation" / "ant"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:20])
    batches = data.batches(workloads.find("deit_tiny_patch16_224_w4a4"), "validation", tmp_path, size=1)
    first, second = iter(batches), folder / "b.png"
    assert next(first)[0].shape == (1, 3, 224, 224)
    with pytest.raises(BadFile) as caught:
        next(first)
    assert str(caught.value).startswith(f"{second}: must be an image, got ")
    assert str(caught.value).endswith("; mend or remove the file")


def test_imagenets_usual_name_of_the_validation_split(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / split / "a" / "0.png")
    workload = workloads.find("deit_tiny_patch16_224_w4a4")
    assert data.splits(workload, tmp_path) == ("train", "validation")
    assert data.batches(workload, "validation", tmp_path).images == 1
    (tmp_path / "validation" / "a").mkdir(parents=True)
    for name in ("0", "1"):
        Image.new("RGB", (8, 8)).save(tmp_path / "validation" / "a" / f"{name}.png")
    assert data.batches(workload, "validation", tmp_path).images == 2
