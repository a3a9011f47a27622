"""Two epochs on few images: the mechanism, not the accuracy."""

import dataclasses
import functools

import pytest
import torch

import workloads
from hwsim.errors import HwsimError
from hwsim.record import Record, read_records
from qmodels import builder, checkpoint, data, models, tracing, widths
from qmodels.evaluation import accuracy
from qmodels.quantizer import Quantizer
from qmodels.training import Observer, settings, start, train

FEW = {"images": "96", "validate": "2"}


@pytest.mark.parametrize("name", ["digits_float", "digits_w2a2"])
def test_two_epochs_write_a_loadable_checkpoint(name, tmp_path):
    told, out = [], tmp_path / "c.safetensors"
    metrics = train(name, epochs=2, seed=5, out=out, changes=FEW, progress=told.append)
    assert [(p.epoch, p.epochs, p.step, p.steps) for p in told] == [
        (1, 2, 1, 4),
        (1, 2, 2, 4),
        (2, 2, 3, 4),
        (2, 2, 4, 4),
    ]
    assert told[-1].loss == metrics.loss < told[1].loss
    model, workload = checkpoint.load(out)
    assert workload.name == name
    images, labels = data.load(workload, "test")
    assert accuracy(model, images, labels) == metrics.test_accuracy
    metadata = checkpoint.read(out)[1]
    assert (metadata["epochs"], metadata["seed"]) == ("2", "5")
    assert metadata["test_accuracy"] == f"{metrics.test_accuracy:.6f}"
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]  # the state is gone


def test_a_seed_decides_everything(tmp_path, same):
    for i, seed in enumerate((1, 1, 2)):
        train("digits_w2a2", epochs=1, seed=seed, out=tmp_path / str(i), changes=FEW)
    assert same(tmp_path / "0", tmp_path / "1")
    assert not same(tmp_path / "0", tmp_path / "2")


def test_the_callers_random_state_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    train("digits_float", epochs=1, out=tmp_path / "c", changes=FEW)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_scale_moves(tmp_path):
    begun, _ = start.pair(settings.resolve("digits_w4a4", changes=FEW), None, None, torch.device("cpu"))
    train("digits_w4a4", epochs=1, out=tmp_path / "c", changes=FEW)
    end, _ = checkpoint.load(tmp_path / "c")
    for (name, a), b in zip(begun.named_modules(), end.modules(), strict=True):
        if isinstance(a, Quantizer):
            assert not torch.equal(a.scale, b.scale), name


def test_records_of_each_epoch(tmp_path):
    log = tmp_path / "log.jsonl"
    metrics = train("digits_w4a4", epochs=2, out=tmp_path / "c", changes=FEW, log=log)
    rows = read_records(log)
    found = {(r.metric, r.tag("epoch")): r.value for r in rows}
    assert found["loss", "2"] == metrics.loss
    assert found["loss", "2"] == pytest.approx(
        sum(found[f"loss_{term}", "2"] for term in ("labels", "soft_labels", "dgd"))
    )
    assert found["validation_accuracy", "2"] == metrics.validation_accuracy
    assert ("validation_accuracy", "1") not in found
    assert {(r.workload, r.tag("method"), r.tag("seed"), r.tag("bits")) for r in rows} == {
        ("digits_w4a4", "qvit", "0", "w4a4")
    }
    assert {r.tag("step") for r in rows} == {"2", "4"}


def test_a_method_and_switches_are_kept_with_the_checkpoint(tmp_path):
    out = tmp_path / "c"
    train("digits_w4a4", method="lsq", epochs=1, out=out, changes={**FEW, "irm": "layernorm", "labels": "0.5"})
    model, workload = checkpoint.load(out)
    assert workload.name == "digits_deit_w4a4_lsq"
    assert any("q_norm" in name for name, _ in model.named_parameters())
    graph = tracing.trace(builder.build(workload, out), data.load(workload, "test", limit=2)[0], "lsq")
    assert len(graph.nodes) > 50


def test_the_teachers_weights_are_where_it_starts():
    student, master = start.pair(settings.resolve("digits_w4a4"), None, None, torch.device("cpu"))
    weights = dict(student.named_parameters())
    assert all(torch.equal(weights[name], p) for name, p in master.named_parameters())
    assert not any(p.requires_grad for p in master.parameters())


def test_a_float_model_starts_from_another_but_for_a_head_of_other_classes(tiny, tmp_path):
    def begun(name, given):
        return start.pair(settings.resolve(name), given, None, torch.device("cpu"), told.append)[0].state_dict()

    file, told = tmp_path / "three", []
    checkpoint.save(builder.build("tiny_folder_w32a32"), "tiny_folder_w32a32", file)
    known = checkpoint.read(file)[0]
    same, other = begun("tiny_folder_w32a32", file), begun("tiny_folder@7_w32a32", file)
    assert told == [f"tiny_folder@7_w32a32: starts from {file} but for the head, which has 3 classes there"]
    assert other["head.weight"].shape == (7, 24)
    assert all(torch.equal(same[name], tensor) for name, tensor in known.items())
    assert all(torch.equal(other[name], tensor) for name, tensor in known.items() if not name.startswith("head."))


def test_timms_weights_are_where_a_float_model_starts(tiny, monkeypatch):
    asked, told, create = [], [], models.create
    monkeypatch.setattr(
        models, "create", lambda name, pretrained=False, **more: asked.append(pretrained) or create(name)
    )
    start.pair(settings.resolve("tiny_folder_w32a32"), start.PRETRAINED, None, torch.device("cpu"), told.append)
    assert asked == [True]
    assert told == ["tiny_folder_w32a32: starts from timm's weights but for the head, which has 1000 classes there"]


def test_widths_of_layers_are_those_of_the_model_that_trains(tmp_path):
    own = {"blocks.*.mlp.fc?": (8, 3)}
    chosen = settings.resolve("digits_w4a4", changes={"calibration": "4"}, layer_bits=own)
    checkpoint.save(start.pair(chosen, None, None, torch.device("cpu"))[0], "digits_w4a4", tmp_path / "c")
    found = widths.of(checkpoint.load(tmp_path / "c")[0])
    assert found["blocks.1.mlp.fc1"] == (8, 3)
    assert found["blocks.1.attn.qkv"] == (4, 4)
    with pytest.raises(HwsimError, match=r"^digits_float: a float model has no widths of layers, got some; name a "):
        settings.resolve("digits_float", layer_bits=own)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "lamb", "schedule": "cosine", "warmup": "1", "ema": "0.9"},
        {"optimizer": "sgd", "schedule": "step", "decay_epochs": "1", "amp": "bf16"},
        {"mixup": "0.8", "cutmix": "1.0", "clip": "0", "drop_path": "0.2"},
        {"augmentation": "none", "batch": "40"},
    ],
)
def test_what_timm_gives(changes, tmp_path):
    metrics = train("digits_w4a4", epochs=2, out=tmp_path / "c", changes={**FEW, **changes})
    assert 0 < metrics.loss < 40
    checkpoint.load(tmp_path / "c")


def test_schedules_reach_the_optimizer(tmp_path):
    log = tmp_path / "log"
    changes = {**FEW, "schedule": "step", "decay_epochs": "1", "decay_rate": "0.5", "lr": "0.001"}
    train("digits_w4a4", epochs=3, out=tmp_path / "c", changes=changes, log=log)
    rates = [r.value for r in read_records(log) if r.metric == "lr"]
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_images_of_a_folder(tiny, folder, tmp_path, same):
    changes = {"workers": "0", "batch": "12", "auto_augment": "rand-m9-mstd0.5-inc1", "erase": "0.2"}
    train("tiny_folder_w32a32", epochs=2, out=tmp_path / "f", root=folder, changes=changes)
    more = {"root": folder, "teacher": tmp_path / "f", "epochs": 2}
    metrics = train(tiny, out=tmp_path / "a", changes=changes, **more)
    train(tiny, out=tmp_path / "b", changes={**changes, "workers": "2"}, **more)
    assert list(metrics.accuracies) == ["validation"]
    assert same(tmp_path / "a", tmp_path / "b")  # whoever reads the images


@pytest.mark.slow
def test_a_compiled_step_is_the_step(tmp_path, monkeypatch, same):
    """Captured by torch.compile and run as it was captured; a compiler that fuses rounds otherwise, and takes minutes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    asked = []
    for compiled in ("false", "true"):
        changes = {**FEW, "images": "32", "batch": "16", "drop_path": "0.2", "compile": compiled}
        train("digits_w4a4", epochs=1, out=tmp_path / compiled, changes=changes)
        asked.append(checkpoint.read(tmp_path / compiled)[1]["compile"])
    assert asked == ["False", "True"]
    assert same(tmp_path / "false", tmp_path / "true")


def test_a_compiler_that_does_not_work_is_told(tmp_path, monkeypatch):
    def fails(*_arguments):
        raise RuntimeError("No working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=fails))
    with pytest.raises(HwsimError) as told:
        train("digits_float", out=tmp_path / "c", changes={**FEW, "compile": "true"})
    assert str(told.value) == (
        "digits_float: compile must find a compiler that works, got backend='fails' raised:; pass --set compile=false"
    )


class Watcher(Observer):
    def __init__(self):
        self.steps = []

    def on_step(self, moment):
        assert isinstance(moment.model, torch.nn.Module)
        self.steps.append((moment.epoch, moment.step, moment.progress))

    def on_epoch(self, moment):
        return [Record(moment.workload, "steps", len(self.steps), "steps", tags=(("of", "watcher"),))]


def test_observers_see_every_step_and_write_records(tmp_path):
    watcher = Watcher()
    train("digits_float", epochs=2, out=tmp_path / "c", changes=FEW, observers=[watcher], log=tmp_path / "log")
    assert watcher.steps == [(1, 1, 0.25), (1, 2, 0.5), (2, 3, 0.75), (2, 4, 1.0)]
    own = [r for r in read_records(tmp_path / "log") if r.metric == "steps"]
    assert [(r.value, r.tag("of"), r.tag("step")) for r in own] == [(2, "watcher", "2"), (4, "watcher", "4")]


def test_a_loss_that_is_not_finite_stops_with_step_batch_and_layer(tmp_path):
    recipe = dataclasses.replace(workloads.find("digits_float").recipe, lr=1e30, warmup=0, images=128)
    with pytest.raises(HwsimError) as told:
        train("digits_float", recipe=recipe, out=tmp_path / "c")
    assert str(told.value) == (
        "digits_float: loss must be finite, got nan at step 2, epoch 1, batch 2, first in blocks.0.norm1; "
        "lower the learning rate with --set lr=VALUE"
    )
    assert not (tmp_path / "c").exists()


def test_a_gradient_that_is_not_finite_stops_with_its_parameter(tmp_path, monkeypatch):
    create = models.create

    def spoiled(*arguments, **more):
        model = create(*arguments, **more)
        model.head.bias.register_hook(lambda grad: grad * float("inf"))
        return model

    monkeypatch.setattr(models, "create", spoiled)
    with pytest.raises(
        HwsimError, match=r"norm of the gradient must be finite, got .* at step 1, .* first in head.bias; "
    ):
        train("digits_float", out=tmp_path / "c", changes=FEW)


OUT = torch.OutOfMemoryError("CUDA out of memory")
SPREAD = "spread the model over processes with torchrun and --set parallel=fsdp, or choose a smaller model"


@pytest.mark.parametrize(
    ("error", "changes", "when", "work", "said"),
    [
        (OUT, {}, 1, "a step", "with batch 64; pass --set batch=32"),
        (RuntimeError("can't allocate memory"), {"batch": "1"}, 1, "a step", f"with batch 1; {SPREAD}"),
        (OUT, {"calibration": "8"}, 0, "the first scales", "with calibration 8; pass --set calibration=4"),
        (MemoryError(), {"batch": "96", "epochs": "1"}, 2, "judging validation", "with batch 96; pass --set batch=48"),
    ],
)
def test_memory_that_does_not_suffice_is_told_with_what_to_lower(
    error, changes, when, work, said, tmp_path, monkeypatch
):
    create, calls = models.create, []

    def large(*arguments, **more):
        model = create(*arguments, **more)
        model.register_forward_pre_hook(lambda module, inputs: fail())
        return model

    def fail():
        calls.append(1)
        if len(calls) > when:
            raise error

    monkeypatch.setattr(models, "create", large)
    changes = {**FEW, "teacher": "none", "dgd": "0", "distillation": "0", **changes}
    with pytest.raises(HwsimError) as told:
        train("digits_w4a4", out=tmp_path / "c", changes=changes)
    assert str(told.value) == f"digits_w4a4: memory must suffice for {work}, got too little on cpu {said}"


def test_memory_that_does_not_suffice_for_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_student", lambda settings: (_ for _ in ()).throw(OUT))
    with pytest.raises(HwsimError) as told:
        train("digits_float", out=tmp_path / "c")
    assert str(told.value) == f"digits_float: memory must suffice for the model, got too little on cpu; {SPREAD}"


def test_other_errors_of_torch_are_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.nn.functional.layer_norm", lambda *a, **k: torch.zeros(1) @ torch.zeros(2))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        train("digits_float", out=tmp_path / "c", changes=FEW)
