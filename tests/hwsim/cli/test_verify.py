"""`hwsim verify` end to end on the digits: what it says, what it writes, and its exit codes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from hwsim.cli import run
from hwsim.record import read_records, write_records
from reports.rows import trials

LIMIT = ["--limit", "8"]


@pytest.fixture
def broken(monkeypatch):
    """Every graph that is traced has one wrong zero point."""
    from hwsim import graph as graphs
    from hwsim.ops.quantize import Quantize
    from qmodels import evidence

    trace = evidence.trace_model

    def wrong(model, workload):
        graph = trace(model, workload)
        nodes = []
        for node in graph.nodes:
            if node.name == "blocks.1.mlp.fc2.input":
                spec = node.op.spec
                node = dataclasses.replace(
                    node, op=Quantize(dataclasses.replace(spec, zero_point=(spec.zero_point[0] + 1,)))
                )
            nodes.append(node)
        constants = {name: (array, graph.specs[name]) for name, array in graph.constants.items()}
        inputs = {name: graph.specs[name] for name in graph.inputs}
        return graphs.build(graph.name, inputs, constants, nodes, graph.outputs, graph.meta)

    monkeypatch.setattr(evidence, "trace_model", wrong)


def verify(capsys, *arguments, code=0):
    """stdout and stderr of a run on eight digits."""
    assert run(["verify", "digits_w4a4", *LIMIT, *map(str, arguments)]) == code
    return capsys.readouterr()


def bad(capsys, *arguments):
    """The one line about bad input."""
    said = verify(capsys, *arguments, code=2)
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    return line.removeprefix("error: ")


def test_the_mixed_form_makes_every_code(capsys):
    said = verify(capsys)
    assert "First node that differs, free running, float64   none" in said.out
    assert "Quantizers whose codes are compared              34 of 34" in said.out
    assert "Quantizers, one by one" not in said.out
    assert said.err == ""


def test_json_and_records_hold_everything(capsys, tmp_path):
    said = verify(capsys, "--json", "-", "--records", tmp_path / "records.jsonl")
    found = json.loads(said.out)
    assert {key: found[key] for key in found if key != "records"} == {
        "workload": "digits_w4a4",
        "form": "mixed",
        "recipe": None,
        "what_if": None,
        "mismatched_float64": 0,
        "divergence": None,
        "failures": [],
    }
    stored = read_records(tmp_path / "records.jsonl")
    assert [record.as_json() for record in stored] == found["records"]
    per_node = {r.metric for r in stored if r.node}
    assert per_node == {
        "node_codes_compared",
        "node_codes_mismatched",
        "node_largest_step",
        "node_cosine",
        "node_saturation",
        "node_accumulator_bits_proven",
        "node_accumulator_bits_weights",
        "node_accumulator_bits_seen",
        "node_accumulator_low_seen",
        "node_accumulator_high_seen",
    }
    for metric in ("node_cosine", "node_saturation"):
        assert len({r.node for r in stored if r.metric == metric}) == 34
    assert run(["report", str(tmp_path / "records.jsonl"), "--out", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert "Quantizers, one by one" in text
    assert "Accumulators, bits" in text


def test_a_fault_is_told_and_kept(capsys, tmp_path, broken):
    kept = tmp_path / "deep" / "found.npz"
    said = verify(capsys, "--save-divergence", kept, code=1)
    line = next(line for line in said.out.splitlines() if line.startswith("blocks.1.mlp.fc2.input: first code"))
    with np.load(kept, allow_pickle=False) as found:
        element = tuple(found["element"].tolist())
        got, expected = int(found["got"][element]), int(found["expected"][element])
        assert str(found["node"]) == "blocks.1.mlp.fc2.input"
        assert {"reference_input", "operand.blocks.1.mlp.act.gelu", "upstream.blocks.1.mlp.fc1.weight"} <= set(found)
    assert line == (
        f"blocks.1.mlp.fc2.input: first code that differs is at image 0, element {element}: "
        f"got {got}, expected {expected}; its inputs are in {kept}"
    )
    failed = said.err.strip().splitlines()
    assert len(failed) == 2
    assert failed[0].startswith("failed: max_mismatch: a share of at most 0 of the codes may differ, got ")
    assert failed[0].endswith(" too much; the first is at blocks.1.mlp.fc2.input")


def test_a_fault_is_kept_beside_what_is_written(capsys, tmp_path, broken):
    result = tmp_path / "result.json"
    verify(capsys, "--json", result, "--max-mismatch", "1")
    found = json.loads(result.read_text())
    kept = tmp_path / "result_divergence.npz"
    assert found["divergence"]["file"] == str(kept)
    assert found["divergence"]["node"] == "blocks.1.mlp.fc2.input"
    assert found["failures"] == []
    assert found["mismatched_float64"] > 0
    assert kept.is_file()
    assert "--save-divergence FILE keeps its inputs" in verify(capsys, code=1).out


def test_the_integer_form_and_whether_it_is_integer(capsys, tmp_path):
    kept = tmp_path / "found.npz"
    said = verify(
        capsys, "--form", "integer", "--calibration-images", 16, "--report", "--save-divergence", kept, "--json", "-"
    )
    found = json.loads(said.out)
    assert (found["form"], found["recipe"], found["divergence"]["file"]) == ("integer", "lut", str(kept))
    kinds = {node["kind"] for node in found["nodes"]}
    assert kinds == {"exact", "own_definition"}
    metrics = {r["metric"] for r in found["records"]}
    assert metrics >= {"accuracy_mixed", "accuracy_integer", "kl_divergence", "node_sqnr", "distance_max"}
    assert {(r["tags"]["form"], r["tags"]["recipe"]) for r in found["records"]} == {("integer", "lut")}
    with np.load(kept) as saved:
        assert str(saved["node"]) == found["divergence"]["node"]


def test_differences_that_are_expected_are_kept_only_where_asked_for(capsys, tmp_path):
    verify(capsys, "--form", "integer", "--calibration-images", 8, "--json", tmp_path / "result.json")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert json.loads((tmp_path / "result.json").read_text())["divergence"]["file"] is None


def test_tables_of_the_integer_form(capsys):
    said = verify(capsys, "--form", "integer", "--calibration-images", 8, "--recipe", "lut", "--report")
    assert "digits_w4a4, integer, lut" in said.out
    assert "Accuracy, mixed form" in said.out
    assert "These nodes are the worst; --per-node shows all." in said.out
    assert "Is it really integer?" in said.out
    assert " exact, " in said.out.splitlines()[-2]
    everything = verify(capsys, "--form", "integer", "--calibration-images", 8, "--per-node").out
    assert len(everything.splitlines()) > len(said.out.split("Is it really")[0].splitlines())
    assert "Any activations" in everything
    assert "head.input" in everything


def test_runs_with_other_settings_stand_side_by_side_in_a_report(capsys, tmp_path):
    same = ["--form", "integer", "--calibration-images", 8, "--records"]
    verify(capsys, *same, tmp_path / "wide.jsonl")
    said = verify(capsys, *same, tmp_path / "narrow.jsonl", "--residual-bits", 8, "--split", "train").out
    assert "8-bit residual" in said
    both = [*read_records(tmp_path / "wide.jsonl"), *read_records(tmp_path / "narrow.jsonl")]
    scales = "scales from 8 images"
    names = [
        f"digits_w4a4, integer, lut, {scales}",
        f"digits_w4a4, integer, lut, 8-bit residual, {scales}, train images",
    ]
    assert list(trials(both)) == names
    write_records(both, tmp_path / "both.jsonl")
    assert run(["report", str(tmp_path / "both.jsonl"), "--out", str(tmp_path / "report")]) == 0
    assert all(name in (tmp_path / "report" / "report.md").read_text() for name in names)


def test_where_no_code_can_be_compared_it_is_said_why(capsys, tmp_path):
    other = ["--form", "integer", "--recipe", "p2vit", "--calibration-images", 8]
    said = verify(capsys, *other, "--max-mismatch", 0.5, "--save-divergence", tmp_path / "x.npz", code=1)
    assert "power-of-two scales make other grids; only reals are compared" in said.out
    assert f"no code is compared; {tmp_path / 'x.npz'} was not written" in said.out
    assert all(line.endswith("; give --max-kl or --min-agreement") for line in said.err.strip().splitlines())


def test_a_divergence_that_was_asked_for_and_is_not_there_is_told(capsys, tmp_path):
    kept = tmp_path / "found.npz"
    assert f"no code differs; {kept} was not written" in verify(capsys, "--save-divergence", kept).out
    assert not kept.exists()


def test_limits_of_predictions(capsys):
    narrow = ["--acc-bits", "8", "--min-agreement", "0.99", "--max-kl", "0.001"]
    said = verify(capsys, *narrow, code=1)
    first, second = said.err.strip().splitlines()
    assert first.startswith("failed: min_agreement: a share of at least 0.99 of the predictions must agree, got ")
    assert first.endswith(" too few")
    assert second.startswith("failed: max_kl: the KL divergence must be at most 0.001 nat, got ")


def test_a_what_if_does_not_fail_by_itself(capsys):
    said = verify(capsys, "--acc-bits", "12", "--tile-k", "64", "--flip", "blocks.*.mlp.fc1:msb:1e-2", "--seed", "3")
    assert "12-bit accumulators in tiles of 64, wrap; flips blocks.*.mlp.fc1:msb:1e-2," in said.out
    assert "Accuracy, integers, without the what-if" in said.out
    assert "Overflowed outputs" in said.out
    assert "Flips" in said.out
    assert said.err == ""
    verify(capsys, "--flip", "head.input:msb:0.5", "--max-mismatch", "0", code=1)


def test_an_overflow_that_is_an_error(capsys):
    line = bad(capsys, "--acc-bits", "9", "--overflow", "error")
    assert line.startswith("patch_embed.proj: accumulator needs ")
    assert " bits, got 9; raise acc_bits" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--form", "int"], "form: unknown name, got 'int'; known, nearest first: integer, mixed"),
        (
            ["--recipe", "lut"],
            "recipe, residual_bits and calibration_images: are of the integer form, got the mixed; give --form integer",
        ),
        (["--overflow", "wrap"], "overflow and tile_k: are of narrow accumulators, got no width; give --acc-bits"),
        (["--seed", "0"], "seed: is of flipped bits, got none; give --flip"),
        (
            ["--acc-bits", "8", "--overflow", "clip"],
            "overflow: unknown name, got 'clip'; known, nearest first: wrap, error, saturate",
        ),
        (
            ["--flip", "head.input:msb:2"],
            "head.input: a rate is a probability 0..1, got '2'; 1e-4 is one in ten thousand",
        ),
        (
            ["--flip", "head.input:msb:0", "--save-divergence", "x.npz"],
            "save_divergence: is of the graph as it is, got a what-if; leave out --acc-bits and --flip",
        ),
        (["--min-agreement", "95"], "min_agreement: must be a share 0..1, got 95.0; leave it out for no limit"),
        (["--max-kl", "nan"], "max_kl: must be 0 or more, got nan; leave it out for no limit"),
        (["--split", "tset"], "split: unknown name, got 'tset'; known, nearest first: test, train, validation"),
        (["--data", "here"], "digits: come with the package, got the folder here; leave out --data"),
    ],
)
def test_bad_input_gets_one_line(capsys, arguments, message):
    assert bad(capsys, *arguments) == message


def test_places_that_cannot_be_written_are_told_before_any_work(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for option in ("--records", "--json", "--save-divergence"):
        assert "which is no folder" in bad(capsys, option, tmp_path / "file" / "x")


def test_what_has_no_weights_is_refused(capsys):
    for name, message in {
        "deit_tiny_patch16_224_w4a4": "weights are needed, got none with it; give a checkpoint file",
        "digits_w4a5": "unknown name, got 'digits_w4a5'; known, nearest first: digits_w4a4, ",
    }.items():
        assert run(["verify", name]) == 2
        assert message in capsys.readouterr().err


def test_a_checkpoint_file_is_its_workload(capsys):
    file = Path(__file__).parents[3] / "qmodels" / "checkpoints" / "digits_w2a2.safetensors"
    assert run(["verify", str(file), "--limit", "2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["workload"] == "digits_w2a2"
