"""What `datasets` reads against the same images in folders."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import workloads
from hwsim.errors import BadFile, HwsimError
from qmodels import data
from qmodels.cropping import whole_images
from qmodels.data import image_folder

WORKLOAD = workloads.find("deit_tiny_patch16_224_w4a4")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The package, whose own files go to a folder of this test."""
    package = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return package


def pictures(folder, count, seed=0, classes=("ant", "bee")):
    draw = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = draw.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def rows(hub, folder, **changes):
    """The images of a folder as rows with the columns `picture` and `kind`, or as `changes` has it."""
    found = sorted(folder.glob("*/*"))
    names = sorted({file.parent.name for file in found})
    columns = {
        "note": ["x"] * len(found),
        "picture": [{"bytes": file.read_bytes(), "path": file.name} for file in found],
    }
    columns["kind"] = [names.index(file.parent.name) for file in found]
    types = {"note": hub.Value("string"), "picture": hub.Image(), "kind": hub.ClassLabel(names=names), **changes}
    columns |= {name: columns["picture" if isinstance(types[name], hub.Image) else "kind"] for name in changes}
    return hub.Dataset.from_dict(columns, features=hub.Features(types))


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_folders_parquet_files_and_saved_ones_are_the_images_of_the_folder(hub, tmp_path):
    root = tmp_path / "plain"
    pictures(root / "train", 3, 1)
    pictures(root / "validation", 2)
    both = {"train": rows(hub, root / "train"), "valid": rows(hub, root / "validation")}
    for split, found in both.items():
        found.to_parquet(tmp_path / "parquet" / f"{split}.parquet")
    hub.DatasetDict(both).save_to_disk(tmp_path / "saved")
    for source in (root, tmp_path / "parquet", tmp_path / "saved"):
        at = Path(f"hf:{source}")
        assert data.splits(WORKLOAD, at) == data.splits(WORKLOAD, root) == ("train", "validation")
        for split in ("train", "validation"):
            assert same(data.load(WORKLOAD, split, at), data.load(WORKLOAD, split, root))
    alone = Path(f"hf:{tmp_path}/parquet/valid.parquet")
    assert same(data.load(WORKLOAD, "train", alone), data.load(WORKLOAD, "validation", root))
    assert data.splits(WORKLOAD, alone) == ("train",)
    batches = data.batches(WORKLOAD, "train", Path(f"hf:{tmp_path}/parquet"))
    assert batches.dataset.classes == ["ant", "bee"]
    whole = whole_images(image_folder(root, "train", (3, 224, 224)))
    assert torch.equal(whole_images(batches.dataset)(4), whole(4))


def test_a_fingerprint_is_that_of_the_chosen_rows(hub, tmp_path):
    root = tmp_path / "plain"
    pictures(root / "train", 3)
    rows(hub, root / "train").to_parquet(tmp_path / "parquet" / "train.parquet")
    for source in (root, tmp_path / "parquet"):
        batches = data.batches(WORKLOAD, "train", Path(f"hf:{source}"))
        said = [batches.part(i, i + 2).fingerprint() for i in range(4)]
        assert len(set(said)) == 4
        assert batches.part(1, 5).part(1, 3).fingerprint() == said[2]
    rows(hub, root / "train").to_parquet(tmp_path / "again" / "train.parquet")
    Image.new("RGB", (40, 40)).save(root / "train" / "bee" / "1.png")
    rows(hub, root / "train").to_parquet(tmp_path / "changed" / "train.parquet")
    one, again, changed = (
        data.batches(WORKLOAD, "train", Path(f"hf:{tmp_path}/{name}")).fingerprint()
        for name in ("parquet", "again", "changed")
    )
    assert one == again != changed


def test_a_split_without_labels_is_not_there(hub, tmp_path):
    pictures(tmp_path / "plain" / "train", 1)
    found = rows(hub, tmp_path / "plain" / "train")
    found.to_parquet(tmp_path / "parquet" / "train.parquet")
    unlabelled = found.remove_columns("kind").add_column("kind", [-1, -1]).cast(found.features)
    unlabelled.to_parquet(tmp_path / "parquet" / "test.parquet")
    at = Path(f"hf:{tmp_path}/parquet")
    assert data.splits(WORKLOAD, at) == ("train",)
    with pytest.raises(HwsimError) as told:
        data.batches(WORKLOAD, "test", at)
    assert str(told.value) == f"{at}: must have a split test with labels, got train; choose other data"


@pytest.mark.parametrize("alone", [None, -1])
def test_a_row_without_a_label_among_others_is_named(alone, hub, tmp_path):
    pictures(tmp_path / "plain" / "train", 2)
    found = rows(hub, tmp_path / "plain" / "train")
    spoiled = found.remove_columns("kind").add_column("kind", [0, 1, alone, 1]).cast(found.features)
    spoiled.to_parquet(tmp_path / "parquet" / "train.parquet")
    with pytest.raises(BadFile) as told:
        data.batches(WORKLOAD, "train", Path(f"hf:{tmp_path}/parquet"))
    got = "null" if alone is None else alone
    assert str(told.value) == (
        f"hf:{tmp_path}/parquet, train, row 2: label must be a class, 0..1, got {got}; mend or remove the row"
    )


def test_columns_are_found_by_type_or_by_name(hub, tmp_path):
    pictures(tmp_path / "plain" / "train", 1)
    source = tmp_path / "plain" / "train"
    label = hub.ClassLabel(names=["a", "b"])

    def at(name, **changes):
        rows(hub, source, **changes).to_parquet(tmp_path / name / "train.parquet")
        return Path(f"hf:{tmp_path}/{name}")

    chosen = data.batches(WORKLOAD, "train", at("named", label=label, image=hub.Image())).dataset
    assert (chosen.image, chosen.classes) == ("image", ["a", "b"])
    for name, changes, kind, usual, got in (
        ("two", {"other": label}, "ClassLabel", "label", "kind, other"),
        ("none", {"kind": hub.Value("int64")}, "ClassLabel", "label", "none"),
        ("images", {"other": hub.Image()}, "Image", "image", "picture, other"),
    ):
        root = at(name, **changes)
        with pytest.raises(HwsimError) as told:
            data.batches(WORKLOAD, "train", root)
        assert str(told.value) == (
            f"{root}: must have one column of type {kind}, or one called {usual}, got {got}; save the data with such a "
            "column to a folder"
        )


def test_a_row_that_is_no_image_is_named(hub, tmp_path):
    pictures(tmp_path / "plain" / "train", 1)
    second = tmp_path / "plain" / "train" / "bee" / "0.png"
    second.write_bytes(second.read_bytes()[:20])
    rows(hub, tmp_path / "plain" / "train").to_parquet(tmp_path / "bad" / "train.parquet")
    at = Path(f"hf:{tmp_path}/bad")
    first = iter(data.batches(WORKLOAD, "train", at, size=1))
    assert next(first)[0].shape == (1, 3, 224, 224)
    with pytest.raises(BadFile) as told:
        next(first)
    assert str(told.value).startswith(f"{at}, train, row 1: must be an image, got ")
    assert str(told.value).endswith("; mend or remove the row")


def test_what_cannot_be_found(hub, tmp_path, monkeypatch):
    def fails(*_arguments, **_more):
        raise ConnectionError("Couldn't reach 'no/where' on the Hub\nmore")

    monkeypatch.setattr(hub, "load_dataset", fails)
    with pytest.raises(HwsimError) as told:
        data.load(WORKLOAD, "train", Path("hf:no/where"))
    assert str(told.value) == (
        "hf:no/where: must be a folder, a parquet file or a name of the hub, got Couldn't reach 'no/where' on the Hub; "
        "check the name, and the network"
    )
    monkeypatch.undo()
    (tmp_path / "empty").mkdir()
    with pytest.raises(HwsimError, match=r"^hf:.*/empty: must be a folder, a parquet file or a name of the hub, got "):
        data.load(WORKLOAD, "train", Path(f"hf:{tmp_path}/empty"))


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(HwsimError) as told:
        data.load(WORKLOAD, "train", Path("hf:some/thing"))
    assert str(told.value) == (
        "datasets: must be installed, got no such package; `pip install 'hwsim[datasets]'`, or pass a folder with "
        "--data ROOT"
    )
