"""What cannot be trained is told in one line, before any work."""

import shutil

import pytest

import workloads
from hwsim.errors import HwsimError
from qmodels import data
from qmodels.training import settings, start, train
from qmodels.training.parallel import started

SETS = [
    ({"epochs": "0"}, "digits_w4a4: epochs must be 1 or more, got 0; pass --set epochs=VALUE"),
    ({"epochs": "many"}, "digits_w4a4: epochs must be a whole number, got 'many'; pass --set epochs=VALUE"),
    ({"lr": "-1"}, "digits_w4a4: lr must be 0 or more, got -1.0; pass --set lr=VALUE"),
    (
        {"seed": str(2**63)},
        f"digits_w4a4: seed must be at most {2**63 - 1}, got {2**63}; pass --set seed=VALUE",
    ),
    ({"epochs": "9" * 400}, f"digits_w4a4: epochs must be at most {2**63 - 1}, got 999"),
    (
        {"optimizer": "adahessian"},
        "digits_w4a4: optimizer must be one of first derivatives, got adahessian; pass --set optimizer=VALUE",
    ),
    (
        {"optimizer": "kronw"},
        "digits_w4a4: optimizer must be one whose whole state can be kept, got kronw, which draws in secret; pass ",
    ),
    ({"optimizer": "fusedadam"}, "digits_w4a4: optimizer must be one that can be made here, got fusedadam ("),
    ({"optimizer": "bnbadam"}, "digits_w4a4: optimizer must be one that can be made here, got bnbadam ("),
    (
        {"auto_augment": "autoaug"},
        "digits_w4a4: auto_augment must be a policy of timm's, as rand-m9-mstd0.5-inc1, got 'autoaug' (Unknown AA ",
    ),
    (
        {"auto_augment": "rand-m9"},
        "digits_w4a4: auto_augment has no effect with digits, which get a small affine map, got rand-m9; leave it out",
    ),
    (
        {"augmentation": "none", "erase": "0.1"},
        "digits_w4a4: erase has no effect with augmentation=none, got 0.1; leave it out",
    ),
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


def test_augmentation_that_has_no_effect():
    name, policy = "deit_tiny_patch16_224_w4a4", "rand-m9-mstd0.5-inc1"
    assert settings.resolve(name, changes={"auto_augment": policy, "erase": "0.1"}).recipe.erase == 0.1
    assert settings.resolve(name, changes={"augmentation": "none", "erase": "0", "smallest_crop": "1"})
    for changes, said in (
        (
            {"crops": "2", "smallest_crop": "0.5"},
            "smallest_crop has no effect with crops, which are all that is drawn, got ",
        ),
        (
            {"auto_augment": policy, "color_jitter": "0.3"},
            f"color_jitter has no effect with auto_augment={policy}, got 0.3",
        ),
    ):
        with pytest.raises(HwsimError) as told:
            settings.resolve(name, changes=changes)
        assert str(told.value).startswith(f"{name}: {said}")


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
        "--teacher FILE (made by `hwsim train --workload deit_tiny_patch16_224_w32a32`), --teacher pretrained (timm's), or "
        "--set teacher=none to start from random weights"
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


def test_classes_in_another_order(tiny, folder, tmp_path, monkeypatch):
    opened = data.image_folder

    def swapped(root, split, image):
        found = opened(root, split, image)
        found.classes = found.classes[::-1] if split == "validation" else found.classes
        return found

    monkeypatch.setattr(data, "image_folder", swapped)
    assert told(tiny, tmp_path, root=folder, changes={"teacher": "none", "workers": "0"}) == (
        f"{folder}/validation: must have the classes in the order of train, got red as class 0, there blue; save the data "
        "again with one order"
    )


@pytest.mark.parametrize(
    ("images", "batch", "rule"),
    [
        (
            "3",
            "4",
            "must fill a batch of 4 for each process, or hold a multiple of 2 images, which mixup and cutmix pair, "
            "got 3; pass --set batch=2",
        ),
        (
            "1",
            "4",
            "must have two images for each process with mixup or cutmix, got 1; add images, or leave out mixup and "
            "cutmix",
        ),
    ],
)
def test_images_that_cannot_be_mixed(images, batch, rule, tmp_path):
    changes = {"images": images, "batch": batch, "mixup": "0.8"}
    assert told("digits_float", tmp_path, changes=changes) == f"digits: {rule}"


def test_a_damaged_image_is_one_line_from_a_worker_too(tiny, folder, tmp_path):
    (folder / "train" / "red" / "3.png").write_bytes(b"none")
    found = told(tiny, tmp_path, root=folder, changes={"teacher": "none", "workers": "1", "calibration": "2"})
    assert found.startswith(f"{folder}/train/red/3.png: must be an image, got cannot identify image file ")
    assert "\n" not in found


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
        f"digits_float: must start from a float model of the layers and width of digits_deit, got {tmp_path}/other of "
        "tiny_folder_w32a32; leave out --teacher, or give another"
    )
    assert told("digits_w4a4", tmp_path, teacher=tmp_path / "other", changes={"teacher": "none"}) == (
        f"digits_w4a4: must have no teacher, got {tmp_path}/other; leave out --teacher"
    )
    assert told(tiny, tmp_path, teacher="pretrained") == (
        "tiny_folder_w4a4: a teacher must know the 3 classes, got timm's weights for 1000; train --workload "
        "tiny_folder_w32a32 --teacher pretrained first, and give its file with --teacher"
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
