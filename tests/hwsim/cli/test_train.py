"""`hwsim train` by its command line."""

import json

import pytest

from hwsim.cli import run
from hwsim.cli.train import _observers
from hwsim.record import read_records
from qmodels import checkpoint
from qmodels.training import settings

FEW = ("--set", "images=64", "--set", "validate=0", "--epochs", "1")


def train(capsys, *arguments, code=0):
    assert run(["train", *(str(argument) for argument in arguments)]) == code
    return capsys.readouterr()


def test_method_switches_metrics_and_json(tmp_path, capsys):
    out, log = tmp_path / "c.safetensors", tmp_path / "log.jsonl"
    made = ("--workload", "digits_w4a4", "--method", "lsq", "--set", "dgd=1", "--out", out)
    said = train(capsys, *made, *FEW, "--metrics", log, "--json", tmp_path / "j")
    assert said.out.startswith("digits_deit_w4a4_lsq: 1 epochs in ")
    assert said.out.endswith(f" %; wrote {out}\n")
    _, metadata = checkpoint.read(out)
    assert (metadata["workload"], json.loads(metadata["switches"])) == ("digits_deit_w4a4_lsq", {"dgd": "1.0"})
    assert {"loss", "loss_labels", "loss_soft_labels", "loss_dgd", "seconds"} <= {r.metric for r in read_records(log)}
    oscillating = [r for r in read_records(log) if r.metric == "oscillating"]
    assert {r.node for r in oscillating} >= {"", "blocks.0.mlp.fc1"}
    assert {r.tag("seed") for r in oscillating} == {"0"}
    found = json.loads((tmp_path / "j").read_text())
    assert found["epochs"] == 1
    assert [r["metric"] for r in found["records"]] == ["validation_accuracy", "test_accuracy"]


def test_oscillation_is_of_whole_weights_that_are_quantized():
    def observers(name, **changes):
        return _observers(settings.resolve(name, changes=changes))

    assert len(observers("digits_w4a4")) == len(observers("digits_deit_w32a4")) == 1
    assert observers("digits_float") == observers("digits_w4a4", parallel="fsdp") == ()


def test_a_scale_per_input_channel_trains_and_cannot_be_traced(tmp_path, capsys):
    out = tmp_path / "c"
    train(capsys, "--workload", "digits_w4a4", *FEW, "--input-scale", "per_channel", "--out", out)
    assert checkpoint.load(out)[0].blocks[0].mlp.fc1.input_quantizer.axis == -1
    code = run(["trace", "--workload", "digits_w4a4", "--checkpoint", str(out), "--out", str(tmp_path / "g")])
    assert code == 2


def error(capsys, *arguments):
    (line,) = train(capsys, *arguments, code=2).err.strip().splitlines()
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "epochs"), "--set: must read KEY=VALUE, got 'epochs'; as in --set epochs=20"),
        (("--set", "lr=1", "--set", "lr=2"), "--set: must give each option once, got lr twice; leave one out"),
        (("--set", "seed=1", "--seed", "2"), "--seed: must be given once, got --set seed too; leave one out"),
        (
            ("--input-scale", "channel"),
            "--input-scale: unknown name, got 'channel'; known, nearest first: per_channel, ",
        ),
        (
            ("--input-scale", "per_tensor", "--set", "per_input_channel=true"),
            "--input-scale: must be given once, got --set per_input_channel too; leave one out",
        ),
        (
            ("--layer-bits", "gone.json"),
            "gone.json: cannot be read as a bits file, got ",
        ),
        (("--method", "qvitt"), "method: unknown name, got 'qvitt'; known, nearest first: qvit, "),
        (("--preset", "papr"), "preset of qvit: unknown name, got 'papr'; known, nearest first: paper, "),
        (("--set", "speed=1"), "--set: unknown name, got 'speed'; known, nearest first: seed, "),
    ],
)
def test_conflicts(arguments, message, tmp_path, capsys):
    assert error(capsys, "--workload", "digits_w4a4", "--out", tmp_path / "c", *arguments).startswith(message)


def test_metrics_of_another_training_are_not_written_over(tmp_path, capsys):
    kept = tmp_path / "a.jsonl"
    kept.write_text("something of mine\n")
    assert run(["train", "--workload", "digits_w4a4", "--out", str(tmp_path / "a"), "--metrics", str(kept)]) == 2
    assert f"error: {kept}: metrics go to a new file, got one with records; remove it, " in capsys.readouterr().err
    assert kept.read_text() == "something of mine\n"


def test_a_suite_takes_no_torchrun(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(["train", "--suite", "ablation", "--out", str(tmp_path / "a")]) == 2
    assert "error: --suite: a run is trained by one process, got torchrun with several; " in capsys.readouterr().err
