"""The command line: what it prints, what it writes, and one clear line for bad input."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.cli import run
from hwsim.record import Record, read_records, write_records
from hwsim.spec import describe

SHIPPED = Path(__file__).parents[2] / "qmodels" / "checkpoints"
VERBS = (
    "reproduce",
    "cost",
    "claims",
    "audit",
    "train",
    "calibrate",
    "compare",
    "verify",
    "trace",
    "integerize",
    "import-checkpoint",
    "simulate",
    "estimate",
    "agreement",
    "report",
    "sweep",
    "search",
    "sensitivity",
    "doctor",
    "list",
)


def fails(capsys, *arguments):
    """The one line that a command with bad input prints on stderr, with exit code 2."""
    code = run([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    assert run([verb, "--help"]) == 0
    assert f"Example: hwsim {verb}" in capsys.readouterr().out


def test_help_is_light():
    code = "import sys; from hwsim.cli import run; run(['--help']); print(sorted(m for m in "
    code += "('torch', 'numba', 'matplotlib', 'timm', 'numpy') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["cost", "deit_tny_patch16_224"],
            "model: unknown name, got 'deit_tny_patch16_224'; known, nearest first: deit_tiny",
        ),
        (
            ["cost", "digits_deit", "--convention", "bitops"],
            "convention: unknown name, got 'bitops'; known, nearest first: bitops_wa,",
        ),
        (["cost", "digits_deit", "--wbits", "9"], "bits: weights must be 1..8 or 32, got 9; "),
        (["cost", "digits_deit", "--abits", "0"], "bits: activations must be 1..8 or 32, got 0; "),
        (["cost", "digits_deit", "--wbits", "four"], "Invalid value for '--wbits': "),
        (["cost"], "Missing argument 'model'"),
        (["cost", "digits_deit", "--frobnicate"], "No such option: --frobnicate"),
        (["costs", "digits_deit"], "No such command 'costs'"),
        (
            ["train", "--workload", "digits_w4a5", "--out", "x"],
            "workload: unknown name, got 'digits_w4a5'; known, nearest first: digits_w4a4",
        ),
        (["list", "modles"], "list: unknown name, got 'modles'; known, nearest first: models"),
        (["reproduce", "qvit", "--out", "x"], "suite: unknown name, got 'qvit'; known, nearest first: q-vit"),
    ],
)
def test_bad_words_get_one_line(arguments, message, capsys):
    assert fails(capsys, *arguments).startswith(message)


def test_an_unwritable_folder_is_told_before_any_work(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert "where a folder is needed" in fails(capsys, "reproduce", "--out", tmp_path / "file")
    assert "which is no folder" in fails(capsys, "reproduce", "--out", tmp_path / "file" / "deeper")
    assert "which is no folder" in fails(
        capsys, "train", "--workload", "digits_w4a4", "--out", tmp_path / "file" / "x.safetensors"
    )


def damaged(tmp_path, how):
    data = bytearray((SHIPPED / "digits_w4a4.safetensors").read_bytes())
    if how == "cut":
        data = data[: len(data) // 2]
    if how == "flipped":
        data[-1000] ^= 1
    if how == "text":
        data = bytearray(b"not a checkpoint at all")
    if how == "pickle":
        data = bytearray(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00")
    path = tmp_path / f"{how}.safetensors"
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", "is truncated, tensors must have"),
        ("flipped", "must have sha256"),
        ("text", "must be a safetensors file"),
        ("pickle", "must be a safetensors file"),
    ],
)
def test_verify_refuses_a_damaged_checkpoint(how, message, tmp_path, capsys):
    path = damaged(tmp_path, how)
    line = fails(capsys, "verify", path)
    assert line.startswith(f"{path}: ")
    assert message in line


def test_verify_refuses_a_missing_checkpoint(tmp_path, capsys):
    assert "got no such file" in fails(capsys, "verify", tmp_path / "none.safetensors")


def test_verify_compares_and_reports(tmp_path, capsys):
    target = tmp_path / "result.json"
    checkpoint = str(SHIPPED / "digits_w4a4.safetensors")
    assert run(["verify", checkpoint, "--limit", "20", "--json", str(target)]) == 0
    assert "Codes that differ, free running, float64" in capsys.readouterr().out
    result = json.loads(target.read_text())
    assert result["mismatched_float64"] == 0
    assert {record["metric"] for record in result["records"]} >= {"accuracy_integer", "codes_compared"}


def test_cost_speaks_json(capsys):
    assert run(["cost", "digits_deit", "--convention", "macs", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    total = next(record for record in result["records"] if record["node"] == "")
    tokens, width = 65, 48
    blocks = 4 * (12 * tokens * width * width + 2 * tokens * tokens * width)
    assert total["value"] == 64 * 16 * width + blocks + width * 10
    assert result["parameters"] > 100_000


def test_cost_prints_layers(capsys):
    assert run(["cost", "digits_deit", "--per-layer", "--convention", "macs"]) == 0
    assert "blocks.3.mlp.fc2" in capsys.readouterr().out


def test_trace_simulate_and_keep(tmp_path, capsys):
    graph, images, out = tmp_path / "graph.safetensors", tmp_path / "images.npy", tmp_path / "values.npz"
    assert run(["trace", "digits_w4a4", "--out", str(graph), "--graphml", str(tmp_path / "graph.xml")]) == 0
    assert "graphml" in (tmp_path / "graph.xml").read_text()[:200]
    np.save(images, np.zeros((3, 1, 32, 32), dtype=np.float32))
    keep = ["--keep", "blocks.0.attn.qk"]
    assert run(["simulate", str(graph), "--input", str(images), "--out", str(out), *keep]) == 0
    assert "digits_w4a4: 3 images" in capsys.readouterr().out
    with np.load(out) as values:
        assert values["blocks.0.attn.qk"].dtype == np.int32
        assert values["blocks.0.attn.qk"].shape == (3, 3, 65, 65)
    np.save(images, np.zeros((3, 1, 28, 28)))
    wrong = fails(capsys, "simulate", graph, "--input", images)
    assert wrong == "input: images must have shape (images, *(1, 32, 32)), got (3, 1, 28, 28); resize them"
    images.write_bytes(b"no array")
    assert "must be a .npy file of numbers" in fails(capsys, "simulate", graph, "--input", images)
    graph.write_bytes(graph.read_bytes()[:5000])
    assert "is truncated" in fails(capsys, "simulate", graph, "--input", images)


def test_trace_prints_a_listing(capsys):
    assert run(["trace", "digits_deit", "--wbits", "3", "--abits", "3"]) == 0
    listing = capsys.readouterr().out
    assert listing.startswith("graph digits_deit_w3a3: 1 input")
    assert "matmul(blocks.0.attn.qk.a, blocks.0.attn.qk.b)" in listing


def test_report_from_stored_records(tmp_path, capsys):
    records = [Record("deit_tiny_patch16_224", "macs", 1_253_683_200, "MAC")]
    write_records(records, tmp_path / "records.jsonl")
    assert run(["report", str(tmp_path / "records.jsonl"), "--out", str(tmp_path / "out")]) == 0
    assert read_records(tmp_path / "out" / "records.jsonl") == tuple(records)
    (tmp_path / "records.jsonl").write_text('{"workload": "x"}\n')
    assert "records.jsonl:1: is not a record, got no metric, value, unit; " in fails(
        capsys, "report", tmp_path / "records.jsonl", "--out", tmp_path / "out"
    )
    (tmp_path / "records.jsonl").write_text("\n")
    line = fails(capsys, "report", tmp_path / "records.jsonl", "--out", tmp_path / "none")
    assert line == f"{tmp_path / 'records.jsonl'}: must hold records, got none; write them with `hwsim reproduce`"
    assert not (tmp_path / "none").exists()


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hwsim.store.load", interrupted)
    assert run(["simulate", "graph", "--input", "images"]) == 2
    assert capsys.readouterr().err == "error: interrupted; nothing was left half written\n"


def test_doctor_tells_versions_and_that_kernels_are_exact(capsys):
    assert run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "torchvision" in told
    assert "tier           " in told
    assert "avx2" in told


@pytest.mark.parametrize(
    "kind", ["models", "methods", "workloads", "operators", "suites", "accelerators", "schemes", "energies"]
)
def test_list_names_what_there_is(kind, capsys):
    assert run(["list", kind]) == 0
    assert len(capsys.readouterr().out.split()) >= 2


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The graph file of digits_w4a4."""
    path = tmp_path_factory.mktemp("graphs") / "mixed.graph"
    assert run(["trace", "digits_w4a4", "--out", str(path)]) == 0
    return path


def test_integerize_writes_a_graph_without_floats(mixed, tmp_path, capsys):
    out, answer = tmp_path / "integer.graph", tmp_path / "answer.json"
    arguments = [
        "integerize",
        mixed,
        "--recipe",
        "ivit",
        "--residual-bits",
        "12",
        "--images",
        "8",
        "--out",
        out,
        "--report",
    ]
    assert run([str(a) for a in (*arguments, "--json", answer)]) == 0
    printed = capsys.readouterr().out
    assert "own definition softmax by I-ViT" in printed
    assert "inserted to u12 per_tensor" in printed
    assert "of their own definition, 0 float parts" in printed
    told = json.loads(answer.read_text())
    assert told["recipe"]["residual_bits"] == 12
    assert told["float_parts"] == []
    assert told["kinds"]["own_definition"] == 25
    assert {record["metric"] for record in told["records"]} == {"distance_max"}
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).uniform(-1, 1, (3, 1, 32, 32)))
    simulate = ["simulate", str(out), "--input", str(images), "--out", str(tmp_path / "codes.npz")]
    assert run(simulate) == 0
    (codes,) = np.load(tmp_path / "codes.npz").values()
    assert codes.dtype == np.int16
    assert codes.shape == (3, 10)
    graph = hwsim.load(out)
    (name,) = graph.outputs
    grid = graph.specs[name].quant
    real = grid.to_real(codes)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"; {describe(grid)}: reals {real.min():.6g} .. {real.max():.6g}" in printed
    assert run([*simulate, "--reals"]) == 0
    written = np.load(tmp_path / "codes.npz")
    assert sorted(written) == [name, f"{name}.real"]
    np.testing.assert_array_equal(written[f"{name}.real"], real)
    line = f"{graph.name}: must be of the mixed form, got integers alone (recipe ivit); use it as it is"
    assert fails(capsys, "integerize", out, "--calibration", "nowhere.npy") == line


def test_integerize_takes_images_of_ones_own(mixed, tmp_path, capsys):
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).uniform(-1, 1, (3, 1, 32, 32)))
    assert run(["integerize", str(mixed), "--calibration", str(images)]) == 0
    assert "186 nodes became" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "itiv"], "recipe: unknown name, got 'itiv'; known, nearest first: ivit, "),
        (["--recipe", "nowhere.toml"], "nowhere.toml: cannot be read as a recipe, got "),
        (["--residual-bits", "40"], "Invalid value for '--residual-bits': Input should be less than or equal to 24"),
        (["--calibration", "nowhere.npy"], "nowhere.npy: "),
    ],
)
def test_integerize_refuses_in_one_line(mixed, options, message, capsys):
    assert fails(capsys, "integerize", mixed, *options).startswith(message)


def test_integerize_needs_images(tmp_path, capsys):
    from hwsim.graph import Node, build
    from hwsim.ops.gelu import Gelu
    from hwsim.spec import TensorSpec

    hwsim.save(build("g", {"x": TensorSpec((1, 3))}, {}, [Node("y", Gelu(), ("x",))], ["y"]), tmp_path / "g")
    wanted = "g: calibration needs images, got a graph of no known workload; give --calibration FILE.npy"
    assert fails(capsys, "integerize", tmp_path / "g") == wanted
