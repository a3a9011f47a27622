"""`--activity` of `hwsim simulate` and `hwsim verify`, end to end on the digits."""

import json

import numpy as np
import pytest

from hwsim import store
from hwsim.accel.activity import Activity
from hwsim.cli import run
from hwsim.simulator import simulate
from hwsim.study.activity import Measure
from qmodels import data
from workloads import find

IMAGES = 5
FIGURES = (("mean_bits", "{:.2f}"), ("zeros", "{:.1%}"), ("ones", "{:.2f}"), ("toggles", "{:.1%}"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The graph and some images of the digits."""
    folder = tmp_path_factory.mktemp("digits")
    assert run(["trace", "digits_w4a4", "--out", str(folder / "graph")]) == 0
    images = next(iter(data.batches(find("digits_w4a4"), "test", None, IMAGES)))[0]
    np.save(folder / "images.npy", images.numpy())
    return folder


def simulated(folder, *arguments):
    command = ["simulate", folder / "graph", "--input", folder / "images.npy", *arguments]
    return run([str(argument) for argument in command])


@pytest.fixture(scope="module")
def wanted(folder):
    graph = store.load(folder / "graph")
    measure = Measure(graph)
    simulate(graph, {graph.inputs[0]: np.load(folder / "images.npy")}, execute=measure)
    return measure.activity(IMAGES)


def test_simulate_writes_and_shows_it(folder, wanted, tmp_path, capsys):
    assert simulated(folder, "--activity", tmp_path / "a.json", "--threads", "2") == 0
    assert Activity.read(tmp_path / "a.json") == wanted
    assert (wanted.graph, wanted.images, len(wanted.products)) == ("digits_w4a4", IMAGES, 26)
    said = capsys.readouterr().out
    assert "Activity of the codes that products read, 5 images" in said
    fc2 = [wanted.of(f"blocks.{i}.mlp.fc2").a for i in range(4)]
    cells = [spec.format(sum(getattr(o, name) for o in fc2) / 4) for name, spec in FIGURES]
    (row,) = [line.split() for line in said.splitlines() if line.split()[:3] == ["fc2", "left", "raw"]]
    assert [row[4], row[7], row[8], row[9]] == cells


def test_json_on_stdout_stays_json(folder, tmp_path, capsys):
    assert simulated(folder, "--activity", tmp_path / "a.json", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["graph"] == "digits_w4a4"
    assert (tmp_path / "a.json").is_file()


def test_verify_measures_the_same(wanted, tmp_path, capsys):
    command = ["verify", "digits_w4a4", "--limit", str(IMAGES), "--activity", str(tmp_path / "a.json")]
    assert run(command) == 0
    assert Activity.read(tmp_path / "a.json") == wanted
    assert "Activity of the codes that products read, 5 images" in capsys.readouterr().out


def test_verify_measures_the_integer_form(tmp_path, wanted):
    command = ["verify", "digits_w4a4", "--limit", str(IMAGES), "--form", "integer", "--calibration-images", "8"]
    assert run([*command, "--activity", str(tmp_path / "a.json")]) == 0
    found = Activity.read(tmp_path / "a.json")
    assert found.products.keys() == wanted.products.keys()
    assert found != wanted


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--flip", "head:msb:1"],
            "activity: is of the graph as it is, got a what-if; leave out --acc-bits and --flip",
        ),
        ([], "must be a file to write, got a folder; name a file in it"),
    ],
)
def test_bad_input_of_verify_gets_one_line(tmp_path, capsys, arguments, line):
    where = tmp_path if not arguments else tmp_path / "a.json"
    assert run(["verify", "digits_w4a4", "--activity", str(where), *arguments]) == 2
    assert capsys.readouterr().err.strip().endswith(line)


def test_a_place_that_cannot_be_written_is_told_before_any_work(folder, capsys):
    assert simulated(folder, "--activity", folder) == 2
    assert capsys.readouterr().err == f"error: {folder}: must be a file to write, got a folder; name a file in it\n"
