"""Two processes on loopback against one with the doubled batch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hwsim.record import read_records
from qmodels import checkpoint, quantizer
from qmodels.training import train
from qmodels.training.parallel import Group

COMMON = {"images": "79", "epochs": "2"}  # of 32: 32, 32, and 15 images, the last uneven
DIGESTS = """
import os, sys, torch
from pathlib import Path
from qmodels.training import engine, train
made = []
original = engine.Training._metrics
def told(self):
    words = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in self.model.parameters()]
    torch.save([w.detach() for w in words], Path(sys.argv[1]) / f"rank{self.group.rank}")
    return original(self)
engine.Training._metrics = told
step = engine.Training.step
def stopped(self, batch):
    if self.place.step == int(os.environ.get("STOP_AT", "-1")):
        sys.exit(0)
    step(self, batch)
engine.Training.step = stopped
changes = dict(part.split("=") for part in sys.argv[3:])
out = Path(sys.argv[1]) / "two"
train(sys.argv[2], out=out, log=out.with_suffix(".jsonl"), changes=changes, every=2, resume=True)
"""


def two_processes(tmp_path, name, changes, stop_at=-1):
    """Train on two processes that torchrun's environment describes; the parameters of both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = tmp_path / "script.py"
    script.write_text(DIGESTS)
    command = [sys.executable, str(script), str(tmp_path), name, *(f"{k}={v}" for k, v in changes.items())]
    processes = []
    for rank in range(2):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "STOP_AT": str(stop_at)}
        path = os.pathsep.join([str(Path(checkpoint.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, **own, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": path}
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    ended = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0], ended
    return [torch.load(tmp_path / f"rank{r}", weights_only=True) for r in range(2) if stop_at < 0]


def curve(path):
    return [r.value for r in read_records(path) if r.metric == "loss"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param("digits_float", {}, marks=pytest.mark.slow),
        ("digits_w4a4", {"optimizer": "sgd", "lr": "0.001"}),  # no division by small gradients: rounding stays apart
        pytest.param("digits_w4a4", {"optimizer": "sgd", "lr": "0.001", "parallel": "fsdp"}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_are_one_with_the_doubled_batch(name, more, tmp_path):
    changes = {**COMMON, **more, "validate": "0"}
    ranks = two_processes(tmp_path, name, {**changes, "batch": "16"})
    assert all(torch.equal(a, b) for a, b in zip(*ranks, strict=True))
    alone = {**changes, "batch": "32", "parallel": "ddp"}
    train(name, out=tmp_path / "one", log=tmp_path / "one.jsonl", changes=alone)
    assert curve(tmp_path / "two.jsonl") == pytest.approx(curve(tmp_path / "one.jsonl"), rel=2e-6)
    one, two = (checkpoint.read(tmp_path / file)[0] for file in ("one", "two"))
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        assert torch.allclose(tensor, two[key], rtol=1e-4, atol=2e-6), key


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_processes_that_were_stopped_go_on(how, tmp_path):
    changes = {**COMMON, "batch": "16", "parallel": how, "validate": "0", "drop_path": "0.2"}
    whole = two_processes(tmp_path, "digits_w2a2", changes)
    (tmp_path / "two").unlink()
    two_processes(tmp_path, "digits_w2a2", changes, stop_at=5)
    assert (tmp_path / "two.state").exists()
    assert not (tmp_path / "two").exists()
    again = two_processes(tmp_path, "digits_w2a2", changes)
    for ranks in (whole, again):
        assert all(torch.equal(a, b) for a, b in zip(*ranks, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole[0], again[0], strict=True))


def test_shares_and_weights_of_a_batch():
    groups = [Group(rank, 2, torch.device("cpu")) for rank in range(2)]
    batch = torch.arange(5)
    shares = [group.share(batch) for group in groups]
    assert [share.tolist() for share in shares] == [[0, 2, 4], [1, 3]]
    means = [g.weight(len(s), 5) * s.double().mean() for g, s in zip(groups, shares, strict=True)]
    assert sum(means) / 2 == pytest.approx(batch.double().mean())
    assert Group(0, 1, torch.device("cpu")).weight(3, 3) == 1.0


@pytest.mark.parametrize(("name", "signed"), [("lsq", True), ("lsq_plus", False)])
def test_the_gradient_of_a_scale_does_not_depend_on_the_batch(name, signed):
    made = quantizer.make(name, 4, signed=signed, axis=1, size=3).train()
    factors = {made.grad_factor(torch.zeros(batch, 3, 5, 7)) for batch in (1, 2, 64)}
    assert factors == {1 / (5 * 7 * made.qmax) ** 0.5}
