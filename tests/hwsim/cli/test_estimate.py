"""`hwsim estimate` and `hwsim agreement`: what they print, what they write, and one line for bad input."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwsim.cli import run
from hwsim.record import Record

DIGITS = "digits_w4a4"
PARTS = ("useful", "mapping", "fill", "port", "dram", "vector")


def fails(capsys: Any, *arguments: object) -> str:
    code = run(["estimate", *(str(argument) for argument in arguments)])
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if not line.startswith("tracing")]
    assert code == 2
    assert len(lines) == 1
    return lines[0].removeprefix("error: ")


def records(capsys: Any, *arguments: object) -> list[dict[str, Any]]:
    assert run(["estimate", *(str(argument) for argument in arguments), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)["records"]
    assert isinstance(found, list)
    return found


def value(rows: list[dict[str, Any]], metric: str, node: str = "", **tags: str) -> float:
    found = [r for r in rows if r["metric"] == metric and r["node"] == node and tags.items() <= r["tags"].items()]
    assert len(found) == 1, (metric, node, tags, found)
    return float(found[0]["value"])


@pytest.fixture(autouse=True)
def _needs_torch() -> None:
    pytest.importorskip("torch")


def test_records_add_up(capsys: Any) -> None:
    rows = records(capsys, DIGITS, "--accelerator", "systolic_16x16", "--per-layer", "--energy", "horowitz_45nm")
    cycles = value(rows, "cycles")
    assert sum(value(rows, f"{part}_cycles") for part in PARTS) == pytest.approx(cycles)
    for level in ("group", "node"):
        split = [r for r in rows if r["tags"].get("level") == level and r["metric"] == "cycles"]
        assert sum(r["value"] for r in split) == pytest.approx(cycles)
        bytes_ = [r["value"] for r in rows if r["tags"].get("level") == level and r["metric"] == "dram_bytes"]
        assert sum(bytes_) == pytest.approx(value(rows, "dram_bytes"))
    components = [r for r in rows if r["metric"] == "energy" and r["node"] == ""]
    total = value(rows, "energy", component="total")
    assert sum(r["value"] for r in components) == pytest.approx(2 * total)
    groups = [r for r in rows if r["metric"] == "energy" and r["node"] and r["tags"]["component"] == "total"]
    assert sum(r["value"] for r in groups) == pytest.approx(total)
    assert value(rows, "fps") == pytest.approx(500e6 / cycles)
    assert value(rows, "latency") == pytest.approx(cycles / 500e3)
    assert value(rows, "speedup", over="int8", step="useful") == pytest.approx(1)
    assert value(rows, "paper_speedup", convention="bireal_ladder") > 5
    assert {r["accelerator"] for r in rows if r["metric"] == "cycles"} == {"systolic_16x16"}
    for row in rows:
        Record(**{**row, "tags": tuple(row["tags"].items())})


def test_tables_and_a_report(capsys: Any, tmp_path: Path) -> None:
    arguments = [
        DIGITS,
        "--accelerator",
        "bit_fusion",
        "--accelerator",
        "loom",
        "--per-layer",
        "--out",
        str(tmp_path / "r"),
    ]
    assert run(["estimate", *arguments]) == 0
    said = capsys.readouterr().out
    for title in (
        "Cycles by group of layers",
        "Energy under each energy table",
        "Speedup on paper",
        "Cycles node by node",
    ):
        assert title in said
    assert "blocks.0.attn.softmax" in said
    assert "on loom: " in said
    assert "frames/s; PEs do useful work in " in said
    assert (tmp_path / "r" / "report.html").is_file()
    assert list((tmp_path / "r").rglob("*roofline*"))


def test_other_values_of_the_machine(capsys: Any) -> None:
    plain = records(capsys, DIGITS, "--accelerator", "systolic_16x16")
    wide = records(
        capsys, DIGITS, "--accelerator", "systolic_16x16", "--set", "vector.lanes=10000", "--set", "array.rows=32"
    )
    assert value(wide, "vector_cycles") < value(plain, "vector_cycles") / 100


def test_measured_codes_are_said(capsys: Any, tmp_path: Path) -> None:
    import numpy as np

    graph, images, activity = tmp_path / "g.graph", tmp_path / "i.npy", tmp_path / "act.json"
    assert run(["trace", DIGITS, "--out", str(graph)]) == 0
    np.save(images, np.random.default_rng(0).uniform(-1, 1, (3, 1, 32, 32)).astype(np.float32))
    assert run(["simulate", str(graph), "--input", str(images), "--activity", str(activity)]) == 0
    capsys.readouterr()
    assert run(["estimate", str(graph), "--accelerator", "loom", "--activity", str(activity)]) == 0
    assert "Codes as in act.json, 3 images." in capsys.readouterr().out
    rows = records(capsys, graph, "--accelerator", "loom", "--activity", activity)
    assert {r["tags"].get("activity") for r in rows} == {"act.json, 3 images"}
    assert value(rows, "useful_cycles") < value(records(capsys, graph, "--accelerator", "loom"), "useful_cycles")


def test_without_torch_a_graph_file_will_do(tmp_path: Path) -> None:
    graph = tmp_path / "digits.graph"
    assert run(["trace", DIGITS, "--out", str(graph)]) == 0
    code = "import sys; sys.modules['torch'] = None; from hwsim.cli import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "estimate"]
    done = subprocess.run([*command, graph, "--accelerator", "loom"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*command, DIGITS, "--accelerator", "loom"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "error: torch: must be installed for this, got no such package; pip install 'hwsim[all]'"
    )


def test_floats_run_on_a_machine_of_floats(capsys: Any) -> None:
    rows = records(capsys, "digits_float", "--accelerator", "systolic_16x16")
    assert value(rows, "speedup", over="float32", step="vector") == pytest.approx(1)
    assert not [r for r in rows if r["tags"].get("over") == "int8"]


def test_bits_of_each_layer(capsys: Any, tmp_path: Path) -> None:
    bits = tmp_path / "bits.json"
    bits.write_text('{"bits": {"*": [8, 8], "blocks.*": [2, 2]}}')
    mixed = records(capsys, DIGITS, "--accelerator", "loom", "--bits", bits)
    plain = records(capsys, DIGITS, "--accelerator", "loom")
    assert value(mixed, "useful_cycles") < value(plain, "useful_cycles") / 2
    assert {r["tags"]["wbits"] for r in mixed} == {"mixed"}
    assert not [r for r in mixed if r["metric"] == "paper_speedup"], "papers count one pair of widths"
    assert (
        run(["estimate", DIGITS, "--accelerator", "loom", "--bits", str(bits), "--out", str(tmp_path / "report")]) == 0
    )
    assert "mixed" in capsys.readouterr().out


def test_a_graph_file(capsys: Any, tmp_path: Path) -> None:
    graph = tmp_path / "digits.graph"
    assert run(["trace", DIGITS, "--out", str(graph)]) == 0
    capsys.readouterr()
    of_file = records(capsys, graph, "--accelerator", "systolic_16x16")
    of_model = records(capsys, DIGITS, "--accelerator", "systolic_16x16")
    assert value(of_file, "cycles") == pytest.approx(value(of_model, "cycles"))
    assert not [r for r in of_file if r["metric"] == "speedup"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--accelerator", "systolic"], "accelerator: unknown name, got 'systolic'; known, nearest first: systolic_"),
        (["--accelerator", "loom", "--accelerator", "loom"],
         "--accelerator: each must have a name of its own, got loom twice; leave one out"),
        (["--accelerator", "loom", "--set", "array.rows"],
         "--set: must read KEY=VALUE, got 'array.rows'; as in --set array.rows=64"),
        (["--accelerator", "loom", "--set", "array.rows=0"], "loom: array.rows must be an integer from 1 to 65536"),
        (["--accelerator", "loom", "--set", "array.rows=8", "--set", "array.rows=9"],
         "--set: must give each key once, got array.rows twice; leave one out"),
        (["--accelerator", "loom", "--energy", "horowitz"],
         "energy table: unknown name, got 'horowitz'; known, nearest first: horowitz_45nm"),
        (["--accelerator", "nowhere.toml"], "nowhere.toml: must be an accelerator as TOML, got No such file"),
        (["--accelerator", "loom", "--bits", "nowhere.json"], "nowhere.json: cannot be read as a bits file"),
        (["--accelerator", "loom", "--activity", "nowhere.json"], "nowhere.json: cannot be read as activity"),
        (["--accelerator", "loom", "--batch", "0"], "Invalid value for '--batch'"),
        (["--accelerator", "loom", "--batch", "1000000"], "Invalid value for '--batch'"),
        (["--accelerator", "loom", "--wbits", "2"],
         "--wbits: widths are those of the workload digits_w4a4, got 2 beside it; leave out --wbits"),
        (["--accelerator", "loom", "--bits", "b.json", "--abits", "3"],
         "--abits: widths are those of the file b.json, got 3 beside it; leave out --abits"),
        (["--accelerator", "loom", "--set", "energy=nosuch"], "energy table: unknown name, got 'nosuch'; known, nearest"),
        (["--accelerator", "loom", "--set", "clock_mhz=0.4"], "loom: clock_mhz must be a number of MHz from 1 to 10000"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: Any) -> None:
    assert fails(capsys, DIGITS, *arguments).startswith(message)


def test_agreement_says_what_lies_outside(capsys: Any, tmp_path: Path) -> None:
    machine = tmp_path / "mine.toml"
    source = (Path(__file__).parents[3] / "hwsim" / "accel" / "catalog" / "systolic_16x16.toml").read_text()
    figure = '\n[[published]]\nmodel = "digits_deit"\nwbits = 4\nabits = 4\nmetric = "fps"\nvalue = {}\n'
    figure += 'unit = "frames/s"\nsource = "me"\nstatus = "printed"\nband = [0.9, 1.1]\n'
    machine.write_text(source + figure.format(1e9))
    assert run(["agreement", str(machine)]) == 1
    assert "outside" in capsys.readouterr().out
    [row] = [r for r in records(capsys, DIGITS, "--accelerator", "systolic_16x16") if r["metric"] == "fps"]
    machine.write_text(source + figure.format(row["value"]))
    assert run(["agreement", str(machine), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["outside"] == []
    assert run(["agreement", "systolic_16x16"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: agreement: an accelerator must state published figures, got none of systolic_16x16; "
        "add [[published]] to its file"
    )
