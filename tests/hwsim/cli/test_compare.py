"""`hwsim compare`, and `hwsim report` of what it leaves."""

import json

import pytest

from hwsim.cli import run
from hwsim.record import read_folder
from qmodels import reconstruction_study

METHODS = ("ptq_minmax", "ptq_mse")
SMALL = (
    "--workload",
    "digits_deit",
    "--methods",
    "ptq_minmax,ptq_mse",
    "--bits",
    "w3a3",
    "--images",
    "4",
    "--limit",
    "6",
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(reconstruction_study, "BITS", (4,))


def test_one_folder_gives_the_table_and_the_report(tmp_path, capsys):
    folder = tmp_path / "results"
    assert run(["compare", *SMALL, "--out", str(folder)]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[0] == f"digits_deit: 0 of 4 files are done in {folder}"
    assert lines[1].startswith("1 of 4: float: test accuracy ")
    assert lines[2] == "2 of 4: reconstruction"
    for number, (name, line) in enumerate(zip(METHODS, lines[3:5], strict=True), 3):
        assert line.startswith(f"{number} of 4: w3a3-{name}-seed0: test accuracy ")
        assert " 0 codes differ, " in line
    assert [line.split()[:2] for line in lines if line.split()[:1] in (["float"], ["W3A3"])] == [
        ["float", "float"],
        *(["W3A3", method] for method in METHODS),
    ]
    assert "row sums, column sums" in said
    assert "Orderings of quantizers, checked" in said
    assert lines[-1] == f"all figures: `hwsim report {folder} --out FOLDER`"
    assert run(["report", str(folder), "--out", str(tmp_path / "report")]) == 0
    drawn = {path.stem for path in (tmp_path / "report" / "figures").iterdir()}
    assert drawn == {"method_pareto", "reconstruction_error"}, "of one width there is no curve"
    capsys.readouterr()
    assert run(["compare", *SMALL, "--out", str(folder), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {key: found[key] for key in ("model", "out", "runs", "missing")} == {
        "model": "digits_deit",
        "out": str(folder),
        "runs": 2,
        "missing": 0,
    }
    assert len(found["records"]) == len(read_folder(folder))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", ","], "--methods: must list one or more, got ','; as in `hwsim compare "),
        (["--bits", "9"], "bits: weights must be 1..8 or 32, got 9; 32 is float"),
        (["--bits", "w4"], "bits: must read like w4a4, got 'w4'; weights and activations are 1..8 or 32"),
        (["--bits", "8,8"], "bits: each must be given once, got W8A8 twice; leave one out"),
        (["--seeds", "0,-1"], "--seeds: must be whole numbers of 0 or more, got '-1'; as in --seeds 0,1,2"),
        (["--methods", "lsq"], "lsq: a method to compare must be a post-training one, got one that is trained; use "),
        (["--methods", "ptq_minmx"], "method: unknown name, got 'ptq_minmx'; known, nearest first: ptq_minmax, "),
        (["--workload", "digts_deit"], "model: unknown name, got 'digts_deit'; known, nearest first: digits_deit, "),
        (
            ["--images", "1258"],
            "digits_deit_w32a32: images must be at most 1257, as many as the training split has, got 1258",
        ),
        (["--data", "somewhere"], "digits: come with the package, got the folder somewhere; leave out --data"),
    ],
)
def test_what_cannot_be(arguments, said, tmp_path, capsys):
    given = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | dict([arguments])
    words = [word for pair in given.items() for word in pair]
    assert run(["compare", *words, "--out", str(tmp_path / "r")]) == 2
    (line,) = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("error")]
    assert line.removeprefix("error: ").startswith(said)
