"""`hwsim verify --jobs`: killed, taken up again, and always the same answer."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hwsim.cli import run
from qmodels.examiner import Examiner

CUT = ["--limit", "24", "--shard-images", "4"]
MANY = ["--limit", "40", "--shard-images", "1"]
"""Shards enough that a kill after the first comes before the last."""


def verify(capsys, *arguments, cut=CUT, code=0):
    assert run(["verify", "digits_w4a4", *cut, *map(str, arguments)]) == code
    return capsys.readouterr()


@pytest.fixture
def plain(capsys):
    """The answer without workers."""
    return json.loads(verify(capsys, "--json", "-").out)


def test_killed_and_taken_up_again(capsys, tmp_path):
    plain = json.loads(verify(capsys, "--json", "-", cut=MANY).out)
    command = [sys.executable, "-m", "hwsim", "verify", "digits_w4a4", *MANY, "--resume", str(tmp_path), "--jobs", "1"]
    killed = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        while not list(tmp_path.glob("*/*.json")):
            assert killed.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    kept = len(list(tmp_path.glob("*/*.json")))
    assert 0 < kept < 40
    said = verify(capsys, "--resume", tmp_path, "--json", "-", cut=MANY)
    assert said.err.splitlines()[0] == f"resume: {kept} of 40 shards were finished by an earlier run"
    assert json.loads(said.out) == plain
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_says_what_is_kept(capsys, tmp_path, monkeypatch, plain):
    examine, seen = Examiner.examine, []

    def interrupted(self, shard, done=None):
        seen.append(shard.start)
        if shard.start == 8 and seen.count(8) == 1:
            raise KeyboardInterrupt
        return examine(self, shard, done)

    monkeypatch.setattr(Examiner, "examine", interrupted)
    said = verify(capsys, "--resume", tmp_path, code=2)
    assert said.err == "error: interrupted; 2 of 6 shards are kept, the same command goes on from there\n"
    other = verify(capsys, "--resume", tmp_path, "--split", "train")
    assert "resume" not in other.err
    assert seen == [0, 4, 8, *range(0, 24, 4)]
    said = verify(capsys, "--resume", tmp_path, "--threads", 1, "--json", "-")
    assert said.err.splitlines()[0] == "resume: 2 of 6 shards were finished by an earlier run"
    assert json.loads(said.out) == plain
    assert seen[9:] == [8, 12, 16, 20]
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_where_nothing_is_kept(capsys, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Examiner, "examine", interrupted)
    assert verify(capsys, code=2).err == "error: interrupted; nothing was left half written\n"


def test_jobs_are_kept_in_the_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    verify(capsys, "--jobs", 1)
    assert (tmp_path / "hwsim" / "verify").is_dir()
    assert list((tmp_path / "hwsim" / "verify").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--jobs", "2", "--backend", "rai"],
            "backend: unknown name, got 'rai'; known, nearest first: ray, dask, loky",
        ),
        (
            ["--backend", "loky"],
            "backend and scheduler: are of many workers, got no number of them; give --jobs",
        ),
        (
            ["--scheduler", "host:1"],
            "backend and scheduler: are of many workers, got no number of them; give --jobs",
        ),
        (
            ["--jobs", "2", "--scheduler", "host:1"],
            "scheduler: is of the backends dask and ray, got loky; give --backend",
        ),
    ],
)
def test_bad_input_gets_one_line(capsys, arguments, message):
    assert verify(capsys, *arguments, code=2).err == f"error: {message}\n"


def test_a_folder_that_cannot_be(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "which is no folder" in verify(capsys, "--resume", tmp_path / "file", code=2).err
