"""`hwsim train --suite`, and `hwsim report` of what it leaves."""

import fcntl
import json
from contextlib import ExitStack

import pytest

from hwsim.cli import run
from hwsim.record import Record, write_records
from workloads import suites
from workloads.suites import Run, Suite

CHANGES = (("epochs", "1"), ("images", "32"), ("validate", "0"))


@pytest.fixture
def tiny(monkeypatch):
    runs = tuple(Run("LSQ", "digits_deit_w2a2", "lsq", "deployable", (*CHANGES, ("seed", str(s))), s) for s in (0, 1))
    monkeypatch.setitem(suites._SUITES, "tiny", Suite("tiny", "", runs))


def test_a_suite_is_trained_once_and_reported(tiny, tmp_path, capsys):
    folder = tmp_path / "results"
    assert run(["train", "--suite", "tiny", "--out", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"tiny: 0 of 2 runs are done in {folder}"
    assert [line.split(": ")[:2] for line in said[1:3]] == [["1 of 2", "w2a2-lsq-seed0"], ["2 of 2", "w2a2-lsq-seed1"]]
    assert said[3] == f"tiny: done; see it with `hwsim report {folder} --out FOLDER`"
    assert run(["train", "--suite", "tiny", "--out", str(folder), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["suite"], found["runs"]) == ("tiny", 2)
    assert {record["tags"]["seed"] for record in found["records"]} == {"0", "1"}


def test_runs_that_another_process_has_in_hand_are_not_called_done(tiny, tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    with ExitStack() as held:
        for seed in (0, 1):
            lock = held.enter_context((tmp_path / "checkpoints" / f"w2a2-lsq-seed{seed}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(["train", "--suite", "tiny", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == ["tiny: 2 of 2 runs are not done yet, other processes have them in hand"]


def test_a_folder_of_records_is_one_report(tmp_path):
    tags = (
        ("suite", "s"),
        ("label", "LSQ"),
        ("seed", "0"),
        ("place", "0"),
        ("wbits", "2"),
        ("abits", "2"),
        ("split", "test"),
    )
    for i in range(2):
        record = Record(
            "digits_deit_w2a2", "run_accuracy", 0.9 + i / 100, "fraction", tags=(*tags[:2], ("seed", str(i)), *tags[3:])
        )
        write_records([record], tmp_path / "runs" / f"{i}.jsonl")
    assert run(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "report")]) == 0
    assert "90.50 ± 0.71" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--workload: must be given, got none; pass --workload, or --suite NAME"),
        (["--workload", "digits_w4a4"], "--out: must be given, got none; pass --out, or --suite NAME"),
        (
            ["--suite", "ablation", "--seed", "0"],
            "--suite: must stand without --seed, as it says what each run is, got both; leave one out",
        ),
        (["--suite", "ablaton"], "suite: unknown name, got 'ablaton'; known, nearest first: ablation"),
    ],
)
def test_what_cannot_be(arguments, said, capsys):
    assert run(["train", *arguments]) == 2
    assert capsys.readouterr().err.strip() == f"error: {said}"
