import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import workloads
from hwsim.errors import HwsimError, UnknownName
from workloads import datasets, models
from workloads.bits import Bits
from workloads.workload import Recipe

SUITE = [workloads.find(f"{model}_w{bits}a{bits}") for model in workloads.QVIT_MODELS for bits in (4, 3, 2)]


def test_every_name_is_found_and_is_its_own():
    for name in workloads.names():
        assert workloads.find(name).name == name
    assert len(set(workloads.names())) == len(workloads.names())


def test_any_model_at_any_bits():
    workload = workloads.find("vit_base_patch16_224_w3a8")
    assert (workload.model.label, workload.bits, workload.method) == ("ViT-B", Bits(3, 8), "qvit")
    assert workloads.find("deit_tiny_patch16_224_w32a32").method == "lsq"
    assert workloads.find("digits_deit_w3a3").dataset is datasets.DIGITS


def test_any_model_by_any_method():
    workload = workloads.find("deit_small_patch16_224_w4a3_qvit_released")
    assert (workload.model.label, workload.bits, workload.method) == ("DeiT-S", Bits(4, 3), "qvit_released")
    assert workload.name == "deit_small_patch16_224_w4a3_qvit_released"
    assert workloads.find("digits_deit_w8a8_lsq").method == "lsq"
    for wrong in ("DeiT_small_w4a3_lsq", "digits_deit_w4a4_", "digits_deit_w4a4lsq", "digits_deit_lsq"):
        with pytest.raises(UnknownName, match=f"workload: unknown name, got '{wrong}'"):
            workloads.find(wrong)


def test_any_name_of_timm_is_a_model():
    """By its look alone; timm says its images, and whether it has it at all."""
    model = models.find("resnet18")
    assert (model.name, model.timm, model.label, model.image) == ("resnet18", "resnet18", "resnet18", ())
    assert "resnet18" not in models.names()
    workload = workloads.find("resnet18_w4a4_lsq")
    assert (workload.model, workload.method, workload.dataset) == (model, "lsq", datasets.IMAGENET)
    assert workloads.find("resnet18_w4a4").method == "lsq"  # Q-ViT's knows attention, and that of our models alone
    assert workloads.find("deit_tiny_patch16_224_w4a4").method == "qvit"
    for wrong in ("", "Resnet18", "resnet-18", "resnet18_", "_resnet18", "digits", "resnet18.tv_in1k", "net/18"):
        assert not models.is_name(wrong)


def test_any_model_with_classes_of_ones_own():
    model, plain = models.find("deit_tiny_patch16_224@10"), models.find("deit_tiny_patch16_224")
    assert model == dataclasses.replace(
        plain, name="deit_tiny_patch16_224@10", label="DeiT-T@10", classes=10, overrides=(("num_classes", 10),)
    )
    assert models.find("resnet18@7").overrides == (("num_classes", 7),)
    workload = workloads.find("deit_tiny_patch16_224@10_w4a4")
    assert (workload.model, workload.method) == (model, "qvit")  # ours, as without
    assert workload.recipe.teacher == "deit_tiny_patch16_224@10_w32a32"
    assert workloads.find("resnet18@7_w4a4_lsq_plus").recipe.teacher == "resnet18@7_w32a32"
    for wrong in ("resnet18@0", "resnet18@", "resnet18@01", "resnet18@5@6", "@5", "digits_deit@5", "Net@5"):
        assert not models.is_name(wrong)
        with pytest.raises(UnknownName, match=f"model: unknown name, got '{wrong}'"):
            models.find(wrong)


def test_every_workload_has_a_recipe():
    own, usual = workloads.find("digits_w4a4").recipe, workloads.find("digits_deit_w4a4_lsq").recipe
    assert own == usual == Recipe(epochs=60, lr=1e-3, teacher="digits_float")
    assert workloads.find("digits_deit_w32a32").recipe.teacher == ""
    folders = workloads.find("swin_tiny_patch4_window7_224_w3a3").recipe
    assert folders == Recipe(epochs=300, lr=2e-4, teacher="swin_tiny_patch4_window7_224_w32a32", workers=4)


def test_what_datasets_reads_stands_for_a_folder(tmp_path, monkeypatch):
    assert datasets.at(datasets.IMAGENET, Path("images")) == datasets.IMAGENET
    for source in ("beans", "some/thing", "/there/is/a file.parquet", "./here"):
        found = datasets.at(datasets.IMAGENET, Path(f"hf:{source}"))
        assert (found.name, found.kind, found.source) == (f"hf:{source}", "huggingface", source)
    with pytest.raises(UnknownName, match="dataset: unknown name, got 'hf:'"):
        datasets.find("hf:")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    roots = ("images", "hf:here", "hf:there", "hf:some/thing")
    told = [str(datasets.absolute(Path(root))) for root in roots]
    assert told == [f"{tmp_path}/images", f"hf:{tmp_path}/here", "hf:there", "hf:some/thing"]


def test_the_suite_of_the_paper():
    labels = [(w.model.label, w.bits.weights) for w in SUITE]
    assert labels == [(m, b) for m in ("DeiT-T", "DeiT-S", "DeiT-B", "Swin-T", "Swin-S") for b in (4, 3, 2)]
    assert all(w.bits.ends == 8 for w in SUITE)


def test_quantized_digits_learn_from_the_float_ones():
    assert workloads.find("digits_float").recipe.teacher == ""
    for name in ("digits_w4a4", "digits_w2a2"):
        assert workloads.find(name).recipe.teacher == "digits_float"


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(
        UnknownName, match="workload: unknown name, got 'digit_w4a4'; known, nearest first: digits_w4a4, "
    ):
        workloads.find("digit_w4a4")
    with pytest.raises(UnknownName, match="model: unknown name, got 'deit small'; known, nearest first: deit_"):
        models.find("deit small")
    with pytest.raises(UnknownName, match="dataset: unknown name, got 'digit'; known, nearest first: digits, imagenet"):
        datasets.find("digit")


def test_workloads_need_no_torch():
    code = "import sys, workloads; assert not {'torch', 'numpy', 'timm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bits_out_of_range_in_a_workload_name():
    with pytest.raises(HwsimError, match=r"^bits: weights must be 1\.\.8 or 32, got 9; 32 is float$"):
        workloads.find("deit_tiny_patch16_224_w9a4")
