"""What cannot be trained is told in one line, before any work."""

import shutil

import pytest

import workloads
from hwsim.errors import HwsimError
from qmodels.training import settings, start, train
from qmodels.training.parallel import started

SETS = [
    ({"epochs": "0"}, "digits_w4a4: epochs must be 1 or more, got 0; pass --set epochs=VALUE"),
    ({"epochs": "many"}, "digits_w4a4: epochs must be a whole number, got 'many'; pass --set epochs=VALUE"),
    ({"lr": "-1"}, "digits_w4a4: lr must be 0 or more, got -1.0; pass --set lr=VALUE"),
    ({"lr": "nan"}, "digits_w4a4: lr must be 0 or more, got nan; pass --set lr=VALUE"),
    ({"ema": "1"}, "digits_w4a4: ema must be less than 1, got 1.0; pass --set ema=VALUE"),
    (
        {"batch": "63", "mixup": "0.8"},
        "digits_w4a4: batch must be even with mixup or cutmix, which mix pairs, got 63; pass --set batch=VALUE",
    ),
    (
        {"smallest_crop": "0"},
        "digits_w4a4: smallest_crop must be above 0 and at most 1, got 0.0; pass --set smallest_crop=VALUE",
    ),
    (
        {"parallel": "fsdp", "ema": "0.9"},
        "digits_w4a4: ema must be 0 with parallel=fsdp, which spreads the weights, got 0.9; pass --set ema=VALUE",
    ),
    ({"parallel": "fsdp", "compile": "true"}, "digits_w4a4: compile must be false with parallel=fsdp, got true; pass "),
    ({"compile": "1"}, "digits_w4a4: compile must be true or false, got '1'; pass --set compile=VALUE"),
    (
        {"crops": "2", "cutmix": "1"},
        "digits_w4a4: cutmix must be 0 with crops, whose answers are stored, got 1.0; pass --set cutmix=VALUE",
    ),
    ({"schedule": "cosinus"}, "digits_w4a4: schedule: unknown name, got 'cosinus'; known, nearest first: cosine, "),
    ({"optimizer": "adamv"}, "digits_w4a4: optimizer: unknown name, got 'adamv'; timm's, nearest first: adam"),
    ({"epoch": "3"}, "--set: unknown name, got 'epoch'; known, nearest first: epochs, "),
    ({"dgd": "a lot"}, "qvit: dgd must be a number, got a lot; "),
]


@pytest.mark.parametrize(("changes", "message"), SETS)
def test_settings(changes, message):
    with pytest.raises(HwsimError) as told:
        settings.resolve("digits_w4a4", changes=changes)
    assert str(told.value).startswith(message)


def test_settings_of_name_method_and_changes():
    found = settings.resolve("digits_w2a2", method="lsq", changes={"dgd": "0.5", "epochs": "7", "teacher": "none"})
    assert found.workload == workloads.find("digits_deit_w2a2_lsq")
    assert (found.method.name, found.method.dgd) == ("lsq", 0.5)
    assert (found.recipe.epochs, found.recipe.teacher) == (7, "")
    assert found.recipe.lr == workloads.find("digits_w2a2").recipe.lr  # the budget is the workload's
    assert found.identity()["dgd"] == "0.5"
    assert settings.resolve("digits_w2a2").workload.name == "digits_w2a2"
    assert settings.resolve("deit_tiny_patch16_224_w3a3").recipe.teacher == "deit_tiny_patch16_224_w32a32"
    assert settings.resolve("deit_tiny_patch16_224_w32a32").recipe.teacher == ""


def told(workload, tmp_path, **more):
    with pytest.raises(HwsimError) as error:
        train(workload, out=tmp_path / "c", **more)
    assert not (tmp_path / "c").exists()
    return str(error.value)


def test_no_teacher_and_no_images(tiny, folder, tmp_path):
    assert told("deit_tiny_patch16_224_w4a4", tmp_path) == (
        "deit_tiny_patch16_224_w4a4: must start from the float weights of deit_tiny_patch16_224_w32a32, got no file; pass "
        "--teacher FILE (made by `hwsim train --workload deit_tiny_patch16_224_w32a32`), or --set teacher=none to start "
        "from random weights"
    )
    without = {"changes": {"teacher": "none"}}
    assert told(tiny, tmp_path, **without) == "imagenet: images must be brought along, got no folder; pass --data ROOT"
    assert told(tiny, tmp_path, root=tmp_path / "nowhere", **without) == (
        f"{tmp_path}/nowhere/train: must be a folder with one folder of images per class, got none; pass --data ROOT"
    )
    only = {"changes": {"teacher": "none", "labels": "0", "distillation": "1", "dgd": "0"}}
    assert told(tiny, tmp_path, root=folder, **only) == (
        "tiny_folder_w4a4: the loss must have a term, got none; pass --set labels=1, or a teacher"
    )
    assert "digits: come with the package" in told("digits_w4a4", tmp_path, root=tmp_path)


def test_classes_that_disagree(tiny, folder, tmp_path):
    without = {"root": folder, "changes": {"teacher": "none", "workers": "0"}}
    shutil.rmtree(folder / "validation" / "red")
    assert told(tiny, tmp_path, **without) == (
        f"{folder}/validation: must have the same 3 classes as train, got 2, red in one alone; mend the data"
    )
    shutil.rmtree(folder / "train" / "red")
    assert told(tiny, tmp_path, **without) == (
        f"{folder}/train: must have the 3 classes of tiny_folder, got 2; pass other data with --data ROOT, or train "
        "--workload tiny_folder@2_w4a4, with a head of 2"
    )
    assert told("tiny_folder@5_w4a4_lsq", tmp_path, **without).endswith(
        ", or train --workload tiny_folder@2_w4a4_lsq, with a head of 2"
    )


def test_teachers_that_do_not_fit(tiny, folder, tmp_path):
    assert told("digits_w4a4", tmp_path, changes={"teacher": "deit_tiny_patch16_224_w32a32"}) == (
        "digits_w4a4: teacher must be of the model digits_deit, got deit_tiny_patch16_224_w32a32, of other layers or width; "
        "pass --set teacher=NAME"
    )
    assert told("digits_w4a4", tmp_path, changes={"teacher": "digits_w8a8"}) == (
        "digits_w4a4: teacher must be a float workload, got digits_w8a8; pass --set teacher=NAME"
    )
    train("tiny_folder_w32a32", epochs=1, out=tmp_path / "other", root=folder, changes={"workers": "0"})
    assert told("digits_w4a4", tmp_path, teacher=tmp_path / "other").startswith(
        f"{tmp_path}/other: must be a checkpoint of digits_float, got one of tiny_folder_w32a32; "
    )
    assert told("digits_float", tmp_path, teacher=tmp_path / "other") == (
        f"digits_float: must have no teacher, got {tmp_path}/other; leave out --teacher"
    )


def test_devices_and_processes(tmp_path):
    assert told("digits_w4a4", tmp_path, changes={"parallel": "fsdp"}) == (
        "parallel: fsdp must have several processes, got 1; start with `torchrun --nproc-per-node 2 -m hwsim train`"
    )
    assert told("digits_w4a4", tmp_path, changes={"amp": "fp16"}) == (
        "digits_w4a4: amp must be off or bf16 on a CPU, got fp16; pass --set amp=bf16"
    )
    recipe = settings.resolve("digits_w4a4", changes={"device": "cuda"}).recipe
    with (
        pytest.raises(HwsimError, match=r"^device: cuda must be there, got none; pass --set device=cpu$"),
        started(recipe),
    ):
        pass


def test_what_has_no_dropped_paths(tmp_path):
    with pytest.raises(HwsimError, match=r"^densenet121_w4a4: drop_path must be 0, as densenet121 has none, got 0.1"):
        start._student(settings.resolve("densenet121_w4a4", changes={"drop_path": "0.1"}))


def test_tensorboard_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    assert told("digits_float", tmp_path, tensorboard=tmp_path / "board", changes={"images": "64"}) == (
        "tensorboard: must be installed, got no such package; `pip install 'hwsim[tensorboard]'`, or leave out "
        "--tensorboard and use --log"
    )
