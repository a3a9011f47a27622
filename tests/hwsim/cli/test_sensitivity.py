"""`hwsim sensitivity`: the file that it writes, what it says of a bits file, and its errors."""

import json

import pytest

from hwsim.accel.sensitivities import Sensitivities
from hwsim.cli import run

pytest.importorskip("torch")
FEW = ("--limit", "8", "--calibration-images", "8", "--threads", "1")


def fails(capsys, *arguments):
    assert run(["sensitivity", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line.removeprefix("error: ")


def test_it_writes_what_search_reads(tmp_path, capsys):
    out, answer = tmp_path / "s.json", tmp_path / "answer.json"
    assert run(["sensitivity", "digits_w8a8", "--out", str(out), "--bits", "2,w4a8", *FEW, "--json", str(answer)]) == 0
    printed = capsys.readouterr().out
    title = (
        "KL divergence of the predictions of digits_w8a8, one layer at a time, 8 images of validation, 8 to calibrate"
    )
    assert printed.startswith(f"{title} [nat]\n")
    assert printed.endswith(f"Wrote {out}.\n")
    found = Sensitivities.read(out)
    assert (found.unit, found.about) == ("nat", title)
    layers = {name: dict(losses) for name, losses in found.layers}
    assert list(layers["head"]) == [(8, 8)]
    assert list(layers["blocks.0.attn.qk"]) == [(8, 8), (2, 2)]
    assert list(layers["blocks.0.mlp.fc1"]) == [(8, 8), (2, 2), (8, 4)]
    result = json.loads(answer.read_text())
    assert (result["workload"], result["images"], result["split"]) == ("digits_w8a8", 8, "validation")
    (record,) = (
        r for r in result["records"] if r["node"] == "blocks.0.mlp.fc1" and r["tags"] == {"abits": "8", "wbits": "4"}
    )
    assert (record["metric"], record["source"], record["unit"]) == ("sensitivity", "measured", "nat")
    assert float(f"{record['value']:.6g}") == layers["blocks.0.mlp.fc1"][8, 4]


def test_it_measures_a_bits_file_as_a_whole(tmp_path, capsys):
    bits = tmp_path / "bits.json"
    bits.write_text('{"bits": {"*": [8, 8]}}')
    assert run(["sensitivity", "digits_w8a8", "--of", str(bits), "--split", "test", "--loss", "mse", *FEW]) == 0
    printed = capsys.readouterr().out
    assert printed == (
        f"digits_w8a8 at the bits of {bits}, 8 images of test: loses 0, accuracy 87.50% instead of 87.50%; nothing was "
        "trained.\n"
    )


def test_what_is_wrong_is_one_line(tmp_path, capsys):
    both = "sensitivity: one of --out and --of is needed, got {}; --of measures what --out led to"
    assert fails(capsys, "digits_w8a8") == both.format("none")
    assert fails(capsys, "digits_w8a8", "--out", "a", "--of", "b") == both.format("both")
    out = ("--out", tmp_path / "s.json")
    line = fails(capsys, "digits_w8a8", *out, "--bits", "2,,4")
    assert line == "--bits: must be widths with commas between, got '2,,4'; as in 2,3,4,w4a8"
    line = fails(capsys, "digits_w8a8", *out, "--bits", "9")
    assert line == "bits: weights must be 1..8 or 32, got 9; 32 is float"
    line = fails(capsys, "digits_w8a8", *out, "--loss", "kk")
    assert line == "loss: unknown name, got 'kk'; known, nearest first: kl, mse"
    line = fails(capsys, "deit_tiny_patch16_224_w4a4", *out)
    assert line == "deit_tiny_patch16_224_w4a4: weights are needed, got none with it; give a checkpoint file"
    line = fails(capsys, "digits_w8a8", "--of", tmp_path / "none.json")
    assert line.startswith(f"{tmp_path / 'none.json'}: cannot be read as a bits file, got ")
    assert not (tmp_path / "s.json").exists()
