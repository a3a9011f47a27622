"""The same file, byte for byte, whoever prices the shards, in whatever order, and wherever it was stopped."""

import json
import random

import pytest

from hwsim.accel.sweep import run as module
from hwsim.accel.sweep.run import digest, priced, results_of, run, sweep_of
from hwsim.accel.sweep.spec import read
from hwsim.errors import BadFile, HwsimError, UnknownName

AXES = 'bits = ["w8a8", "w3a4"]\n[axes]\narray.rows = [4, 8, 16]\narray.dataflow = ["best", "output_stationary"]\n'
AXES += "clock_mhz = { from = 100, to = 900, steps = 10 }\n"


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(module, "SHARD", 16)


def shuffled(function, arguments):
    order = list(arguments)
    random.Random(1).shuffle(order)
    yield from (function(*given) for given in order)


def whole(sweep, path, **how):
    with results_of(sweep, path) as results:
        run(sweep, results, **how)
    return path.read_bytes()


def test_workers_leave_no_trace(swept, tmp_path):
    sweep, seen = swept(AXES), []
    here = whole(sweep, tmp_path / "a", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(min(120, 16 * n), 120) for n in range(1, 9)]
    assert whole(sweep, tmp_path / "b", call=shuffled) == here
    lines = [json.loads(line) for line in here.splitlines()]
    assert lines[0]["points"] == 120
    assert [line["point"] for line in lines[1:]] == list(range(120))


def test_it_goes_on_where_it_was_stopped(swept, tmp_path):
    sweep, path = swept(AXES), tmp_path / "r"
    wanted = whole(sweep, tmp_path / "whole")

    def stop(done, _total):
        if done == 48:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), results_of(sweep, path) as results:
        run(sweep, results, progress=stop)
    assert path.read_bytes() == wanted[: path.stat().st_size]
    asked = []

    def counted(function, arguments):
        asked.extend(point for given in arguments for point in given[2].tolist())
        return shuffled(function, arguments)

    assert whole(sweep, path, call=counted) == wanted
    assert asked == list(range(48, 120))
    assert whole(sweep, path, call=counted) == wanted
    assert len(asked) == 72


def test_the_length_of_shards_leaves_no_trace(swept, tmp_path, monkeypatch):
    sweep = swept(AXES)
    short = whole(sweep, tmp_path / "a")
    monkeypatch.setattr(module, "SHARD", 4096)
    assert whole(sweep, tmp_path / "b") == short


def test_a_draw_is_some_of_the_grid(swept, tmp_path):
    grid = whole(swept(AXES), tmp_path / "grid").splitlines()[1:]
    some = whole(swept(f'search = "random"\npoints = 30\nseed = 3\n{AXES}'), tmp_path / "some").splitlines()[1:]
    assert len(some) == 30
    assert some == [grid[json.loads(line)["point"]] for line in some]


def test_what_decides_the_results_is_in_the_first_line(swept, tmp_path, monkeypatch):
    path = tmp_path / "r"
    whole(swept(AXES), path)

    def refused(text=AXES):
        with pytest.raises(BadFile) as caught:
            whole(swept(text), path)
        return str(caught.value).removeprefix(f"{path}: must be results of this sweep, got others ")

    assert refused(AXES.replace("16", "32")) == "(axes differ); choose another file"
    assert refused(f"ends = 4\n{AXES}") == "(axes differ); choose another file"
    assert refused(f'energy = "maestro"\n{AXES}').startswith("(axes, machines differ); ")
    assert refused(f'search = "random"\npoints = 120\n{AXES}') == "(axes differ); choose another file"
    monkeypatch.setattr(module, "code", lambda: "new")
    assert refused() == "(hwsim differ); choose another file"
    monkeypatch.undo()
    whole(swept(f'objectives = ["size"]\napart = []\n{AXES}'), path)


def test_a_worker_with_another_hwsim_is_refused(swept):
    with pytest.raises(HwsimError) as caught:
        priced(0, swept(AXES).pricer, None, "another")
    assert str(caught.value) == "workers: must all have this very hwsim, got another; install the same everywhere"


def test_a_wrong_value_is_told_before_any_work(swept, tmp_path, program_of):
    for text, message in {
        'bits = "none.json"': "none.json: cannot be read as a bits file",
        'bits = "w4a4"\n[axes]\narray.rows = [1, 0]': "array.rows must be an integer from 1 to 65536",
        'bits = "w4a4"\n[axes]\narray.rows = [1.5, 2]': "array.rows must be an integer from 1 to 65536",
        'bits = "w4a4"\n[axes]\narray.row = [1, 2]': "array.row must be a key of its table",
        'bits = "w4a4"\n[axes]\narray.dataflow = ["os"]': "array.dataflow must be one of ",
    }.items():
        with pytest.raises(HwsimError) as caught:
            swept(text)
        assert message in str(caught.value), text
    with pytest.raises(UnknownName, match="accelerator: unknown name, got 'systolic'"):
        swept('bits = "w4a4"', 'accelerator = "systolic"\nmodels = "digits_deit"\n')
    with pytest.raises(UnknownName, match="energy table: unknown name, got 'horowitz'"):
        swept('bits = "w4a4"\nenergy = "horowitz"')


def test_digests_are_of_what_things_say(swept, tmp_path, program_of):
    assert digest([1], {"a": 2}) == digest([1], {"a": 2}) != digest([1], {"a": 3})
    one = swept(AXES)
    spec, space = read(tmp_path / "small.toml")
    again = sweep_of(spec, space, {"digits_deit": program_of("digits_deit")})
    assert one.header == again.header
    assert " at 0x" not in repr((one.pricer.space, one.pricer.accelerators, one.pricer.tables, one.pricer.bits))
    assert " at 0x" not in repr([(program.flow, program.rows) for program in one.pricer.programs.values()])


def test_shards_are_short_where_each_point_is_dear(swept, monkeypatch):
    monkeypatch.setattr(module, "SHARD", 4096)
    numbers = "clock_mhz = { from = 100, to = 900, steps = 100 }\ndram.gb_per_s = { from = 1, to = 90, steps = 50 }\n"
    assert swept(f'bits = "w4a4"\n[axes]\n{numbers}').shard == 4096
    texts = 'array.dataflow = ["best", "output_stationary", "weight_stationary"]\nclock_mhz = [100, 200]\n'
    assert swept(f'bits = "w4a4"\n[axes]\n{texts}').shard == 128
    alone = 'accelerator = "hg_pipe"\nmodels = "digits_deit"\n'
    assert swept(f'bits = "w4a4"\n[axes]\n{numbers}', alone).shard == 64
