"""A training that was stopped anywhere and goes on gives the bits of one that was not."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from hwsim.errors import BadFile
from hwsim.record import read_records
from qmodels import builder, checkpoint
from qmodels.oscillation import Oscillation
from qmodels.training import Observer, state, train

FEW = {"images": "80", "batch": "32", "epochs": "3", "validate": "0"}  # 3 steps per epoch


class Stop(Exception):
    pass


class StopAt(Observer):
    def __init__(self, step):
        self.step = step

    def on_step(self, moment):
        if moment.step == self.step:
            raise Stop


def interrupted(name, step, tmp_path, every=1, **more):
    """Train until after `step` (whose state is not written any more), then go on; the file."""
    out = tmp_path / f"stopped{step}"
    observers = more.pop("observers", tuple)
    with pytest.raises(Stop):
        train(name, out=out, every=every, observers=[*observers(), StopAt(step)], **more)
    assert state.path_of(out).exists()
    train(name, out=out, every=every, observers=observers(), resume=True, **more)
    assert not state.path_of(out).exists()
    return out


@pytest.mark.parametrize(
    ("name", "changes", "steps"),
    [
        ("digits_w2a2", {}, (2,)),  # within an epoch
        pytest.param("digits_w2a2", {}, (4, 7), marks=pytest.mark.slow),  # behind one, at the last
        ("digits_float", {"optimizer": "lamb", "schedule": "cosine", "ema": "0.9", "drop_path": "0.3"}, (5,)),
        ("digits_float", {"optimizer": "sgd", "mixup": "0.8", "cutmix": "1"}, (5,)),
        pytest.param("digits_float", {"optimizer": "adan"}, (5,), marks=pytest.mark.slow),
        pytest.param(
            "digits_w4a4",
            {"crops": "2", "labels": "0", "distillation": "0", "dgd": "0"},
            (5,),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_stopped_anywhere(name, changes, steps, tmp_path, same):
    more = {"changes": {**FEW, **changes}}
    train(name, out=tmp_path / "whole", **more)
    for step in steps:
        assert same(tmp_path / "whole", interrupted(name, step, tmp_path, **more)), step


def test_images_of_a_folder(tiny, folder, tmp_path, same):
    changes = {"batch": "10", "epochs": "2", "workers": "0", "teacher": "none", "distillation": "0", "dgd": "0"}
    more = {"changes": {**changes, "auto_augment": "rand-m9-mstd0.5-inc1"}, "root": folder}
    train(tiny, out=tmp_path / "whole", **more)
    assert same(tmp_path / "whole", interrupted(tiny, 6, tmp_path, every=5, **more))


def test_a_state_per_epoch_and_the_records_of_what_is_done_again(tmp_path, same):
    more = {"changes": FEW, "observers": lambda: [Oscillation()]}
    train("digits_w2a2", out=tmp_path / "whole", log=tmp_path / "a", changes=FEW, observers=[Oscillation()])
    out = interrupted("digits_w2a2", 8, tmp_path, every=None, log=tmp_path / "b", **more)
    assert same(tmp_path / "whole", out)
    one, two = ([r for r in read_records(tmp_path / f) if r.metric != "seconds"] for f in "ab")
    assert one == two


@pytest.mark.slow
def test_records_of_an_epoch_are_there_once(tmp_path):
    """Stopped behind the records of an epoch whose last step was kept, and within the next epoch."""
    log = tmp_path / "log"
    more = {"changes": FEW, "observers": lambda: [Oscillation()]}
    interrupted("digits_w2a2", 4, tmp_path, every=3, log=log, **more)
    found = [(r.metric, r.tag("epoch")) for r in read_records(log) if not r.node]
    assert len(found) == len(set(found))
    assert [epoch for metric, epoch in found if metric == "oscillating"] == ["1", "2", "3"]


@pytest.mark.parametrize("every", [None, 3])
def test_tensorboard_has_each_epoch_once(every, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = tmp_path / "board"
    more = {"changes": FEW, "observers": lambda: [Oscillation()]}
    interrupted("digits_w2a2", 7, tmp_path, every=every, tensorboard=board, **more)
    found = EventAccumulator(str(board)).Reload()
    for name in ("loss", "oscillating", "flipped/blocks.0.mlp.fc1"):
        assert [event.step for event in found.Scalars(name)] == [3, 6, 9]


@pytest.mark.slow
def test_an_observer_that_was_not_there_begins_where_it_goes_on(tmp_path, same):
    out, log = tmp_path / "c", tmp_path / "log"
    with pytest.raises(Stop):
        train("digits_w2a2", out=out, every=1, changes=FEW, observers=[StopAt(5)])
    train("digits_w2a2", out=out, changes=FEW, resume=True, observers=[Oscillation()], log=log)
    train("digits_w2a2", out=tmp_path / "whole", changes=FEW)
    assert same(out, tmp_path / "whole")
    assert [r.tag("epoch") for r in read_records(log) if r.metric == "flipped" and not r.node] == ["2", "3"]


@pytest.mark.slow
def test_killed(tmp_path, same):
    """A process that is killed without warning, as often as it takes, against one that is left alone."""
    sets = [
        part for key, value in {**FEW, "images": "128", "batch": "16"}.items() for part in ("--set", f"{key}={value}")
    ]
    log = tmp_path / "log"
    command = [sys.executable, "-m", "hwsim", "train", "--workload", "digits_w2a2", *sets, "--every", "1"]
    command += ["--resume", "--out", str(tmp_path / "killed"), "--metrics", str(log)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    kept = tmp_path / "killed.state"
    for step in (3, 11):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
        while process.poll() is None and not (kept.exists() and place(kept) >= step):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, capture_output=True, env=environment)
    train("digits_w2a2", out=tmp_path / "whole", changes={**FEW, "images": "128", "batch": "16"})
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert [r.tag("epoch") for r in read_records(log) if r.metric == "loss"] == ["1", "2", "3"]


def place(path):
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(json.loads(header["__metadata__"]["hwsim"])["place"])["step"]


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        ({"name": "digits_w4a4"}, "workload must be digits_w4a4 to go on, got digits_w2a2"),
        ({"method": "lsq"}, "workload must be digits_deit_w2a2_lsq to go on, got digits_w2a2"),
        ({"lr": "0.01"}, "lr must be 0.01 to go on, got 0.003"),
        ({"dgd": "2"}, "dgd must be 2.0 to go on, got its usual value"),
        ({"images": "96"}, "images must be 96 to go on, got 80"),
    ],
)
def test_the_state_of_another_training(other, wanted, tmp_path):
    out = tmp_path / "c"
    with pytest.raises(Stop):
        train("digits_w2a2", out=out, every=1, changes=FEW, observers=[StopAt(2)])
    name, method = other.pop("name", "digits_w2a2"), other.pop("method", None)
    changes = {**FEW, **({"lr": "0.003"} if name != "digits_w2a2" else {}), **other}
    with pytest.raises(BadFile) as told:
        train(name, method=method, out=out, resume=True, changes=changes)
    assert str(told.value) == (
        f"{out}.state: {wanted} from the training that was begun; go on with its settings, leave out --resume, or choose "
        "another --out"
    )


def test_a_teacher_of_other_weights_and_other_widths_of_layers(tmp_path):
    float_model, files = builder.build("digits_float"), [tmp_path / "a", tmp_path / "moved", tmp_path / "b"]
    for i, file in enumerate(files):
        float_model.head.bias.data += i // 2
        checkpoint.save(float_model, "digits_float", file)
    out, own, few = tmp_path / "c", {"head": (8, 4)}, {**FEW, "calibration": "4"}
    with pytest.raises(Stop):
        train("digits_w2a2", out=out, every=1, changes=few, observers=[StopAt(2)], teacher=files[0])
    with pytest.raises(BadFile, match=r"teacher_weights must be [0-9a-f]{16} to go on, got [0-9a-f]{16} from the "):
        train("digits_w2a2", out=out, resume=True, changes=few, teacher=files[2])
    with pytest.raises(BadFile, match=r'layer_bits must be {"head": \[8, 4\]} to go on, got its usual value from the '):
        train("digits_w2a2", out=out, resume=True, changes=few, teacher=files[0], layer_bits=own)
    with pytest.raises(Stop):
        train("digits_w2a2", out=out, resume=True, changes=few, observers=[StopAt(2)], teacher=files[1])


def test_a_state_that_stays_gives_the_end_again(tmp_path, same):
    log, told = tmp_path / "log", []
    for out in ("a", "b"):
        train(
            "digits_float", out=tmp_path / out, changes=FEW, keep_state=True, resume=True, log=log, progress=told.append
        )
        if out == "a":
            state.path_of(tmp_path / "a").rename(state.path_of(tmp_path / "b"))
            records = read_records(log)
    assert same(tmp_path / "a", tmp_path / "b")
    assert len(told) == 9
    assert read_records(log) == records


def test_a_damaged_state(tmp_path):
    out = tmp_path / "c"
    with pytest.raises(Stop):
        train("digits_float", out=out, every=1, changes=FEW, observers=[StopAt(2)])
    kept = state.path_of(out)
    data = bytearray(kept.read_bytes())
    data[-100] ^= 64
    kept.write_bytes(data)
    with pytest.raises(BadFile, match=r"remove it, and train from the beginning$"):
        train("digits_float", out=out, resume=True, changes=FEW)


def test_without_a_state_it_begins(tmp_path, same):
    train("digits_float", out=tmp_path / "a", changes=FEW, resume=True)
    train("digits_float", out=tmp_path / "b", changes=FEW, every=0)
    assert same(tmp_path / "a", tmp_path / "b")


def test_numbers_of_an_optimizer_come_back(tmp_path):
    model = torch.nn.Linear(3, 2)

    class Counting(torch.optim.SGD):
        def step(self):
            super().step()
            for group in self.param_groups:
                group["count"] = group.get("count", 0) + 1
                group["tensor"] = torch.tensor(3.0)
                for p in group["params"]:
                    self.state[p]["seen"] = self.state[p].get("seen", 0) + 2

    one, two = (Counting(model.parameters(), lr=0.1, momentum=0.9) for _ in range(2))
    for _ in range(3):
        model(torch.ones(1, 3)).sum().backward()
        one.step()
    state.put_optimizer(two, model, *state.of_optimizer(one, model))
    assert two.param_groups[0]["count"] == two.param_groups[0]["tensor"] == 3
    for p in model.parameters():
        assert two.state[p]["seen"] == 6
        assert torch.equal(two.state[p]["momentum_buffer"], one.state[p]["momentum_buffer"])
