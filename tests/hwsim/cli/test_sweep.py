"""`hwsim sweep`: killed, taken up again, on many workers, and always the same file."""

import json
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from hwsim.accel.sweep.run import Results
from hwsim.accel.sweep.spec import read
from hwsim.cli import run
from hwsim.record import Record

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("sweep_*.toml"))
SPEC = """
accelerator = "systolic_32x32"
models = "digits_deit"
bits = ["w8a8", "w32a32", "w4a4"]
[axes]
array.dataflow = ["output_stationary", "weight_stationary"]
"array.rows, array.cols" = { from = 1, to = 40, steps = 40, whole = true }
dram.gb_per_s = { from = 1, to = 100, steps = 25, scale = "log" }
clock_mhz = [250, 500]
"""
POINTS = 3 * 2 * 40 * 25 * 2
KILLED = """
import os, signal, sys
from hwsim.accel.sweep.results import Results
from hwsim.cli import run
append = Results.append
def killed(self, lines, points):
    if self.done:
        append(self, lines[:len(lines) // 3], 0)
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, lines, points)
Results.append = killed
run(sys.argv[1:])
"""
"""Kills itself in the middle of writing the second shard."""


@pytest.fixture
def traced(monkeypatch):
    """Each model is traced once."""
    from qmodels import evidence

    monkeypatch.setattr(evidence, "skeleton_of", _skeleton(evidence.skeleton_of))


@cache
def _skeleton(trace):
    return cache(trace)


@pytest.fixture
def sweep(tmp_path, capsys, traced):
    """What the command prints for SPEC, or other lines, with these options."""

    def call(*options, out="r.jsonl", code=0, text=SPEC):
        (tmp_path / "spec.toml").write_text(text)
        arguments = ["sweep", str(tmp_path / "spec.toml"), "--out", str(tmp_path / out), *map(str, options)]
        assert run(arguments) == code
        return capsys.readouterr()

    return call


def test_points_fronts_and_who_was_refused(sweep, tmp_path):
    said = sweep("--report", tmp_path / "report").out
    lines = said.splitlines()
    assert "Pareto fronts of the design space" in lines[0]
    summary = next(line for line in lines if line.startswith(f"{POINTS:,} points in "))
    assert summary.endswith(" on 2 fronts of latency, energy, area")
    assert f"refused {POINTS // 3:,}: precision fixed: operands must have 1 to 31 bits, got 32; " in said
    assert (tmp_path / "report" / "figures" / "pareto_front.png").is_file()
    assert "Pareto fronts of the design space" in (tmp_path / "report" / "report.md").read_text()
    rows = (tmp_path / "r.jsonl").read_text().splitlines()
    assert len(rows) == 1 + POINTS
    answer = json.loads(sweep("--json", "-").out)
    assert (answer["points"], [one["compete"] for one in answer["fronts"]]) == (POINTS, [POINTS // 3] * 2)
    assert list(answer["refused"].values()) == [POINTS // 3]
    best = {record["tags"]["point"] for record in answer["records"] if record["tags"]["on"] == "yes"}
    assert len(best) == sum(one["best"] for one in answer["fronts"])
    assert all(Record(**{**record, "tags": tuple(record["tags"].items())}) for record in answer["records"])


def test_killed_and_taken_up_again(sweep, tmp_path):
    sweep(out="whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    command = [sys.executable, "-c", KILLED, "sweep", str(tmp_path / "spec.toml"), "--out", str(tmp_path / "r.jsonl")]
    ends = []
    for _ in range(2):
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        left = (tmp_path / "r.jsonl").read_bytes()
        assert whole.startswith(left)
        assert not left.endswith(b"\n")
        ends.append(len(left))
    assert 0 < ends[0] == ends[1] < len(whole)
    assert sweep().err == f"resume: 4,096 of {POINTS:,} points are there\n"
    assert (tmp_path / "r.jsonl").read_bytes() == whole


def test_an_interrupt_says_what_is_there(sweep, tmp_path, monkeypatch):
    append = Results.append

    def interrupted(self, lines, points):
        if self.done == 8192:
            raise KeyboardInterrupt
        append(self, lines, points)

    monkeypatch.setattr(Results, "append", interrupted)
    where = f"{POINTS:,} points are in {tmp_path / 'r.jsonl'}"
    assert sweep(code=2).err == f"error: interrupted; 8,192 of {where}, the same command goes on from there\n"
    monkeypatch.undo()
    assert sweep().err == f"resume: 8,192 of {POINTS:,} points are there\n"
    assert sweep().err == f"resume: {POINTS:,} of {POINTS:,} points are there\n"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["loky", "dask", "ray"])
def test_engines_leave_no_trace(sweep, tmp_path, engine):
    if engine != "loky":
        pytest.importorskip({"dask": "distributed", "ray": "ray"}[engine])
    plain = json.loads(sweep("--json", "-").out)
    there = json.loads(sweep("--engine", engine, "--jobs", 2, "--json", "-", out="many.jsonl").out)
    assert (tmp_path / "many.jsonl").read_bytes() == (tmp_path / "r.jsonl").read_bytes()
    assert {**there, "results": ""} == {**plain, "results": ""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "rai"], "engine: unknown name, got 'rai'; known, nearest first: ray, "),
        (["--engine", "local", "--jobs", "2"], "jobs: are of the engines loky, dask and ray, got local; give --engine"),
        (["--scheduler", "a:1"], "scheduler: is of the engines dask and ray, got loky; give --engine"),
        (
            ["--engine", "local", "--scheduler", "a:1"],
            "scheduler: is of the engines dask and ray, got local; give --eng",
        ),
    ],
)
def test_bad_options_get_one_line(sweep, options, message):
    said = sweep(*options, code=2).err
    assert said.startswith(f"error: {message}")
    assert said.count("\n") == 1


def test_bad_files_get_one_line(sweep, tmp_path):
    assert "spec.toml: bits must be 1..8 or 32 each" in sweep(code=2, text=SPEC.replace("w4a4", "w9a4")).err
    assert "model: unknown name, got 'digits_vit'" in sweep(code=2, text=SPEC.replace("digits_deit", "digits_vit")).err
    (tmp_path / "r.jsonl").write_text("mine\n")
    assert "must be results of this sweep or not be there, got 'mine'; choose another file" in sweep(code=2).err
    assert (tmp_path / "r.jsonl").read_text() == "mine\n"


def test_the_results_of_a_graph_file(sweep, tmp_path):
    from hwsim import store
    from hwsim.cli._options import workload_of
    from qmodels import evidence

    store.save(evidence.skeleton_of(workload_of("digits_deit", 4, 4)), tmp_path / "graph.safetensors")
    small = SPEC.replace("steps = 40", "steps = 2").replace("steps = 25", "steps = 2").replace('"w32a32", ', "")
    sweep(text=small)
    sweep(text=small.replace("digits_deit", "graph.safetensors"), out="file.jsonl")
    texts = [(tmp_path / name).read_text().splitlines()[1:] for name in ("r.jsonl", "file.jsonl")]
    assert texts[0] == [line.replace(str(tmp_path / "graph.safetensors"), "digits_deit") for line in texts[1]]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_sweeps_of_the_size_they_say(path):
    _, space = read(path)
    assert f"{space.size:,} points" in path.read_text()


def test_the_file_in_the_document_is_one(tmp_path):
    text = (EXAMPLES[0].parents[1] / "docs" / "sweep.md").read_text()
    (tmp_path / "shown.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    spec, space = read(tmp_path / "shown.toml")
    assert (spec.search, spec.points, spec.seed, space.size) == ("random", 2000, 1, 3 * 3 * 4 * 5 * 5 * 40)
