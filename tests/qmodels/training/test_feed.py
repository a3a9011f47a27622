"""Images from elsewhere than folders, and classes of one's own."""

from pathlib import Path

import pytest

import workloads
from qmodels import builder, checkpoint
from qmodels.training import settings, train

CHANGES = {"workers": "0", "batch": "12", "auto_augment": "rand-m9-mstd0.5-inc1", "erase": "0.2", "teacher": "none"}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_rows_of_datasets_are_trained_on_as_folders_are(workers, tiny, folder, tmp_path, same, monkeypatch):
    hub = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    changes = {**CHANGES, "epochs": "2", "dgd": "0", "distillation": "0"}
    one = train(tiny, out=tmp_path / "a", root=folder, changes=changes)
    at = Path(f"hf:{folder}")
    two = train(tiny, out=tmp_path / "b", root=at, changes={**changes, "workers": workers}, every=1)
    assert one.accuracies == two.accuracies
    assert same(tmp_path / "a", tmp_path / "b")


def test_crops_of_rows_of_datasets(tiny, folder, tmp_path, same, monkeypatch):
    hub = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    train("tiny_folder_w32a32", out=tmp_path / "f", root=folder, epochs=1, changes={"workers": "0"})
    changes = {"epochs": "1", "crops": "2", "labels": "0", "dgd": "0", "images": "4", "workers": "0"}
    for number, root in enumerate((folder, Path(f"hf:{folder}"))):
        out = tmp_path / str(number) / "c"
        train(tiny, out=out, teacher=tmp_path / "f", root=root, changes=changes)
    assert same(tmp_path / "0" / "c", tmp_path / "1" / "c")


def test_a_head_of_as_many_classes_as_there_are(tiny, folder, tmp_path):
    name = "tiny_folder@3_w4a4"
    assert settings.resolve(name).recipe.teacher == "tiny_folder@3_w32a32"
    assert settings.resolve(name, method="lsq").workload.name == "tiny_folder@3_w4a4_lsq"
    train("tiny_folder@3_w32a32", out=tmp_path / "f", root=folder, epochs=1, changes={"workers": "0"})
    train(name, out=tmp_path / "c", root=folder, epochs=1, teacher=tmp_path / "f", changes={"workers": "0"})
    model, workload = checkpoint.load(tmp_path / "c")
    assert workload == workloads.find(name)
    assert model.num_classes == model.head.weight.shape[0] == 3
    assert builder.build(workload, tmp_path / "c").num_classes == 3
