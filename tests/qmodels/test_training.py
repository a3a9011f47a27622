"""Two epochs on few images: the mechanism, not the accuracy."""

import dataclasses

import pytest
import torch

import workloads
from hwsim.errors import HwsimError
from qmodels import checkpoint, data, training
from qmodels.quantizer import Quantizer
from qmodels.training import train


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    load = data.load
    monkeypatch.setattr(training.data, "load", lambda *a, limit=None: load(*a, limit=96))


@pytest.mark.parametrize("name", ["digits_float", "digits_w2a2"])
def test_two_epochs_write_a_loadable_checkpoint(name, tmp_path):
    told = []
    metrics = train(name, epochs=2, seed=5, out=tmp_path / "c.safetensors", progress=told.append)
    assert [(p.epoch, p.epochs) for p in told] == [(1, 2), (2, 2)]
    assert told[-1].loss == metrics.loss
    assert told[1].loss < told[0].loss
    model, workload = checkpoint.load(tmp_path / "c.safetensors")
    assert workload.name == name
    images, labels = data.load(workload, "test")
    assert training.accuracy(model, images, labels) == metrics.test_accuracy
    metadata = checkpoint.read(tmp_path / "c.safetensors")[1]
    assert (metadata["epochs"], metadata["seed"]) == ("2", "5")
    assert metadata["test_accuracy"] == f"{metrics.test_accuracy:.6f}"


def test_a_seed_decides_everything(tmp_path):
    digests = []
    for i, seed in enumerate((1, 1, 2)):
        path = tmp_path / str(i)
        train("digits_w2a2", epochs=1, seed=seed, out=path)
        digests.append(checkpoint.read(path)[1]["sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_the_callers_random_state_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    train("digits_float", epochs=1, out=tmp_path / "c")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_scale_moves(tmp_path):
    start, _ = training._models(workloads.find("digits_w4a4"), workloads.find("digits_w4a4").recipe, None)
    train("digits_w4a4", epochs=1, out=tmp_path / "c")
    end, _ = checkpoint.load(tmp_path / "c")
    for (name, a), b in zip(start.named_modules(), end.modules(), strict=True):
        if isinstance(a, Quantizer):
            assert not torch.equal(a.scale, b.scale), name


def test_a_loss_that_is_not_finite_stops_with_step_and_batch(tmp_path):
    recipe = dataclasses.replace(workloads.find("digits_float").recipe, lr=1e30, warmup=0)
    with pytest.raises(HwsimError, match=r"^digits_float: loss must be finite, got nan in epoch 1, batch 1; lower the"):
        train("digits_float", recipe=recipe, out=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_what_cannot_be_trained(tmp_path):
    with pytest.raises(HwsimError, match=r"^deit_tiny_patch16_224_w4a4: needs a training recipe, got none; train a"):
        train("deit_tiny_patch16_224_w4a4", out=tmp_path / "c")
    with pytest.raises(HwsimError, match=r"^digits_float: epochs must be 1 or more, got 0; pass --epochs"):
        train("digits_float", epochs=0, out=tmp_path / "c")
