"""`hwsim calibrate`: what it says, what it writes, and what it refuses."""

import json

import pytest

from hwsim.cli import run
from qmodels import checkpoint

QUICK = ("--images", "4", "--limit", "6", "--threads", "1")
TUNED = ("--workload", "digits_deit_w3a3_isvit", "--set", "reconstruct.iterations=2")


def test_it_says_what_it_did_and_writes_the_model(tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    told = ("--json", str(tmp_path / "told.json"), "--resume")
    assert run(["calibrate", *TUNED, *QUICK, "--out", str(out), *told]) == 0
    begun, *stages, last = capsys.readouterr().out.splitlines()
    assert begun == f"{out}: no calibration was begun there, so this one began at the beginning"
    assert [line.split(": ")[0] for line in stages] == ["stage 1", "stage 3"]
    assert all(" of 6 units came nearer to the float model, by " in line for line in stages)
    assert last.startswith("digits_deit_w3a3_isvit: calibrated on 4 images in ")
    assert last.endswith(f"; wrote {out}")
    assert checkpoint.load(out)[1].name == "digits_deit_w3a3_isvit"
    told = json.loads((tmp_path / "told.json").read_text())
    assert {key: told[key] for key in ("workload", "images")} == {"workload": "digits_deit_w3a3_isvit", "images": 4}
    noted = {(r["tags"]["stage"], r["node"], r["metric"]) for r in told["records"] if "stage" in r["tags"]}
    assert ("3", "blocks.3", "reconstruct_after") in noted
    assert len(noted) == 2 * 2 * 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "told.json"]
    kept = out.read_bytes()
    for command in (["calibrate", *TUNED], ["train", "--workload", "digits_w4a4"]):
        assert run([*command, "--out", str(out), "--resume"]) == 2
        assert capsys.readouterr().err == (
            f"error: {out}: --resume goes on from {out}.state, got a checkpoint without it, which is done; leave out "
            "--resume to make it anew, or choose another --out\n"
        )
    assert out.read_bytes() == kept


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ("--images", "9999"),
            "digits_deit_w4a4_repqvit: images must be at most 1257, as many as the training split has, got 9999; ask for ",
        ),
        (("--candidates", "4"), "--candidates: are chosen from within a budget, got 4 alone; pass --size-mb or "),
        (("--set", "ranges.foo=1"), "repqvit: ranges: unknown name, got 'foo'"),
    ],
)
def test_what_it_refuses(given, said, tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    assert run(["calibrate", "--workload", "digits_w4a4", "--method", "repqvit", *given, "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")
    assert not list(tmp_path.iterdir())
