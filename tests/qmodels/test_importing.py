"""Importing Q-ViT's released checkpoints: files of their shape, made here, and their quantizer written out once more."""

import argparse
import copy
import re

import pytest
import torch
from torch import nn

import workloads
from hwsim.cli import run
from hwsim.errors import BadFile, HwsimError
from qmodels import checkpoint, data, importing, models
from qmodels.calibrate import calibrate
from qmodels.evidence import subject_of
from qmodels.quantizer import Quantizer
from qmodels.sharding import job_of

NAME = "digits_deit_w4a4_qvit_released"
WORKLOAD = workloads.find(NAME)


class Theirs(nn.Module):
    """Their activation quantizer: round(clamp(x / alpha + round(zero_point))), signed or not, along the axis they use."""

    def __init__(self, state, stem, bits):
        super().__init__()
        self.alpha, self.zero_point = state[f"{stem}.alpha"].double(), state[f"{stem}.zero_point"].double().round()
        signed = bool(state[f"{stem}.signed"])
        self.range = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def forward(self, x):
        along = (1, -1, 1, 1) if x.dim() == 4 else (-1,)
        alpha, zero_point = self.alpha.view(along), self.zero_point.view(along)
        return ((x / alpha + zero_point).clamp(*self.range).round() - zero_point) * alpha


def _stem(name):
    """What they call the quantizer that is `name` here."""
    parent, _, own = name.rpartition(".")
    attention, _, product = parent.rpartition(".")
    if product in ("qk", "av"):
        return f"{attention}.{ {'qk.a': 'q', 'qk.b': 'k', 'av.a': 'attn', 'av.b': 'v'}[f'{product}.{own[0]}'] }_act"
    return f"{parent}.act" if own == "input_quantizer" else parent


def _their_state(workload, seed=0):
    """A state dict with their names, of random weights and of scales that fit them."""
    torch.manual_seed(seed)
    model = checkpoint.empty(workload)
    calibrate(model, torch.randn(2, *models.image_of(workload.model)))
    state = {}
    for name, tensor in model.state_dict().items():
        if "quantizer" not in name:
            state[re.sub(r"\.([qk])_norm\.", r".norm_\1.", name)] = tensor.clone()
    for name, module in model.named_modules():
        if not isinstance(module, Quantizer):
            continue
        stem = _stem(name)
        state[f"{stem}.alpha"] = module.positive_scale().detach() * torch.empty_like(module.scale).uniform_(0.8, 1.25)
        state[f"{stem}.init_state"] = torch.ones(1)
        if not name.endswith("weight_quantizer"):
            signed = not name.endswith("av.a_quantizer")
            spread = (
                torch.empty_like(module.scale).uniform_(-2, 2)
                if signed
                else torch.empty_like(module.scale).uniform_(0, 2)
            )
            state[f"{stem}.zero_point"], state[f"{stem}.signed"] = spread, torch.full((1,), float(signed))
    return state


@pytest.fixture(scope="module")
def state():
    return _their_state(WORKLOAD)


def _file(path, state, **others):
    file = path / "best_checkpoint.pth"
    torch.save({"model": state, "epoch": 3, "args": argparse.Namespace(model="fourbits_deit", lr=3e-4), **others}, file)
    return file


def test_the_imported_model_computes_what_theirs_does(state, tmp_path):
    imported = importing.read("q-vit", _file(tmp_path, state), WORKLOAD)
    assert (imported.clamped, imported.tensors) == (0, len(imported.model.state_dict()))
    assert str(imported) == f"{imported.tensors} tensors"
    ours, theirs = imported.model.double(), copy.deepcopy(imported.model).double()
    for name, module in list(theirs.named_modules()):
        if isinstance(module, Quantizer) and not name.endswith("weight_quantizer"):
            parent, _, own = name.rpartition(".")
            setattr(theirs.get_submodule(parent), own, Theirs(state, _stem(name), module.bits))
    images, _ = data.digits("test")
    with torch.no_grad():
        torch.testing.assert_close(ours(images[:32].double()), theirs(images[:32].double()), rtol=1e-9, atol=1e-9)


def test_what_is_imported_traces_and_verifies_once_its_scales_are_folded(state, tmp_path, capsys):
    file, out = _file(tmp_path, state), tmp_path / "ours.safetensors"
    assert run(["import-checkpoint", str(file), "--from", "q-vit", "--workload", NAME, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(rf"{NAME}: \d+ tensors; wrote {out}\n", said)
    workload = checkpoint.load(out)[1]
    assert workload.name == NAME
    assert run(["verify", str(out), "--limit", "16"]) == 2
    assert "a scale along the reduction axis cannot be factored out of an integer sum" in capsys.readouterr().err
    assert run(["verify", str(out), "--limit", "16", "--fold-input-scales"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("input scales folded: 18 layers, 9 into a LayerNorm, 8 by an inserted multiplication; SQNR ")
    subject = subject_of(workload, out, fold=True)
    job = job_of(subject, data.batches(workload, "test", limit=4), out)
    assert (job.fold, len(subject.folds.folds)) == (True, 18)  # workers fold too
    assert len(job.examiner(job.batches(), 1).graph.nodes) == len(subject.graph.nodes)


def test_the_shape_of_their_model_is_imported(tmp_path):
    """DeiT-S as they have it, but for its width and depth: class and distillation token, two heads."""
    workload = workloads.find("deit_tiny_distilled_patch16_224_w3a3_qvit_released")
    state = _their_state(workload)
    assert {"dist_token", "head_dist.act.signed", "blocks.11.attn.norm_k.bias", "patch_embed.proj.act.alpha"} <= set(
        state
    )
    assert state["patch_embed.proj.act.alpha"].shape == (3,)
    file = _file(tmp_path, state, args=argparse.Namespace(model="threebits_deit_tiny_patch16_224"))
    model = importing.read("q-vit", file, workload).model
    assert torch.equal(model.blocks[7].attn.k_norm.weight, state["blocks.7.attn.norm_k.weight"])
    torch.testing.assert_close(model.head_dist.input_quantizer.scale.detach(), state["head_dist.act.alpha"])


def test_zero_points_outside_the_codes_are_clamped_and_counted(state, tmp_path):
    moved = {**state, "blocks.0.attn.attn_act.zero_point": torch.tensor([-1.0, 2.0, 16.2])}
    imported = importing.read("q-vit", _file(tmp_path, moved), WORKLOAD)
    assert imported.clamped == 2
    assert imported.model.blocks[0].attn.av.a_quantizer.zero_point.tolist() == [0, 2, 15]
    assert re.fullmatch(r"\d+ tensors; 2 of \d+ zero points lay outside their codes and were clamped", str(imported))


def _without(state, key):
    return {name: tensor for name, tensor in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: _without(s, "blocks.1.attn.norm_q.bias"),
            "must have a tensor blocks.1.attn.norm_q.bias, got none, nearest blocks.0.attn.norm_q.bias; check model and "
            "method of the workload",
        ),
        (
            lambda s: _without(s, "head.act.signed"),
            "must have a tensor head.act.signed, got none, nearest patch_embed.proj.act.signed; check",
        ),
        (
            lambda s: {**s, "dist_token": torch.zeros(1, 1, 48), "head_dist.bias": torch.zeros(10)},
            f"{NAME} has no place for dist_token and 1 more; check model and method of the workload",
        ),
        (
            lambda s: {**s, "blocks.0.attn.v_act.init_state": torch.zeros(1)},
            "blocks.0.attn.v_act.init_state must be 1, got 0; train it first, or another",
        ),
        (
            lambda s: {**s, "head.alpha": -s["head.alpha"]},
            "head.alpha must be at least 1e-08, got -",
        ),
        (
            lambda s: {**s, "head.bias": torch.full((10,), torch.nan)},
            "head.bias must be finite, got nan; give a .pth file of the project",
        ),
        (
            lambda s: {**s, "head.bias": torch.zeros(9)},
            "is of another model, head.bias must be (10,), got (9,); check the workload",
        ),
        (
            lambda s: {"weight": 3},
            "must hold a state dict, alone or as `model`, got dict; give a .pth file of the project",
        ),
        (
            lambda s: {**s, "head.act.signed": torch.ones(2)},
            "head.act.signed must hold one number, got 2; check model and method of the workload",
        ),
        (lambda s: {**s, "head.alpha": torch.ones(0)}, "head.alpha must hold one number, got 0; check model and"),
        (lambda s: {**s, 3: torch.ones(1)}, "must hold a state dict, alone or as `model`, got dict; give a .pth file"),
        (lambda s: {}, "must hold a state dict, alone or as `model`, got dict; give a .pth file of the project"),
    ],
)
def test_files_of_another_shape(state, change, message, tmp_path):
    file = _file(tmp_path, change(state))
    with pytest.raises(BadFile) as caught:
        importing.read("q-vit", file, WORKLOAD)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_a_file_of_other_bits_and_a_workload_of_another_method(state, tmp_path):
    file = _file(tmp_path, state, args=argparse.Namespace(model="twobits_deit_small_patch16_224"))
    with pytest.raises(BadFile) as caught:
        importing.read("q-vit", file, WORKLOAD)
    assert str(caught.value) == (
        f"{file}: is of twobits_deit_small_patch16_224, got the workload {NAME}; name one at w2a2"
    )
    with pytest.raises(HwsimError) as caught:
        importing.read("q-vit", file, workloads.find("digits_deit_w4a4"))
    assert str(caught.value) == (
        "digits_deit_w4a4: a checkpoint of q-vit is of the method qvit_released, got qvit; name the workload "
        "digits_deit_w4a4_qvit_released"
    )
    with pytest.raises(HwsimError, match="source: unknown name, got 'qvit'; known, nearest first: q-vit"):
        importing.read("qvit", file, WORKLOAD)


class Runs:
    """What a pickle should not be able to do."""

    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02a.", b"\x80\x02J\x01", Runs()])
def test_no_code_is_run(content, tmp_path, capsys):
    file = tmp_path / "bad.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save({"model": content}, file)
    with pytest.raises(BadFile, match=r"must be tensors that torch\.load reads without running code, got "):
        importing.read("q-vit", file, WORKLOAD)
    assert "code was run" not in capsys.readouterr().out
    with pytest.raises(BadFile, match=r"gone\.pth: no such file; give a \.pth file of the project"):
        importing.read("q-vit", tmp_path / "gone.pth", WORKLOAD)
