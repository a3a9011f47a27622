"""`hwsim claims` where no model has to be traced; what it decides is tested in tests/hwsim/cost/test_cost_claims.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwsim.cli import run
from hwsim.cost.table import tally
from workloads.claims import SHIPPED, shipped

Capture = pytest.CaptureFixture[str]


def test_claims_of_a_source(capsys: Capture) -> None:
    assert run(["claims", "--source", "hawq-v3"]) == 0
    out = capsys.readouterr().out
    shown = " ".join(out.split())
    assert "ResNet18 W8A8 BOPS 116 G 116.1 +0.09 % ≈ within rounding bitops_wa printed" in shown
    assert "34 G 34.71 +2.10 % ⌊ truncated" in shown
    assert "✗ off" in shown
    assert "14 published figures: 9 within rounding, 1 truncated, 4 off." in shown
    assert "Notes on these figures" in shown
    assert "traced" not in shown


def test_a_source_is_asked_for_by_how_its_words_begin(capsys: Capture) -> None:
    """PTQ-ViT is no Q-ViT; a reprint of Q-ViT is."""
    assert run(["claims", "--source", "q-vit", "--verdict", "measurement", "--json", "-"]) == 0
    sources = {r["tags"]["source"] for r in json.loads(capsys.readouterr().out)["records"]}
    assert "GMPQ-TE table 9 (reprint of Q-ViT)" in sources
    assert not any("PTQ-ViT" in source for source in sources)
    assert run(["claims", "--source", "Q-ViT", "--verdict", "undecided"]) == 0
    assert capsys.readouterr().out == "No figure is left.\n"


@pytest.mark.parametrize("verdict", ["undecided", "measurement"])
def test_what_no_formula_decides_traces_nothing(capsys: Capture, verdict: str) -> None:
    assert run(["claims", "--verdict", verdict, "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {record["tags"]["verdict"] for record in told["records"]} == {verdict}
    assert told["claims"] == told["verdicts"][verdict] == sum(claim.kind == verdict for claim in shipped())


def test_nothing_is_left(capsys: Capture) -> None:
    assert run(["claims", "--source", "HAWQ-V3", "--verdict", "exact"]) == 0
    assert capsys.readouterr().out == "No figure is left.\n"
    assert run(["claims", "--decided", "--verdict", "undecided"]) == 0
    assert capsys.readouterr().out == "No figure is left.\n"


def test_our_own_figures_are_hidden_unless_asked_for(capsys: Capture) -> None:
    assert run(["claims", "--model", "1-bit conv", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["claims"] == 1
    assert run(["claims", "--model", "1-bit conv", "--all", "--json", "-"]) == 0
    own = json.loads(capsys.readouterr().out)["records"][-1]
    assert (own["tags"]["printed_status"], own["tags"]["verdict"]) == ("derived", "within rounding")


def test_json_says_all_of_a_claim(capsys: Capture, tmp_path: Path) -> None:
    assert run(["claims", "--source", "qonnx", "--model", "TFC-W2A2 dense", "--json", str(tmp_path / "a.json")]) == 0
    assert "= exact" in capsys.readouterr().out
    told = json.loads((tmp_path / "a.json").read_text())
    (record,) = told["records"]
    assert told["verdicts"]["exact"] == told["claims"] == 1
    assert (record["workload"], record["metric"], record["value"]) == ("tfc_w2a2", "claim", 236_032)
    assert record["tags"] == {
        "source": "qonnx tests",
        "model": "TFC-W2A2 dense",
        "wbits": "2",
        "abits": "2",
        "metric": "BOPs",
        "printed": "236032",
        "printed_status": "printed",
        "kind": "total",
        "stated": "bitops_wa",
        "convention": "bitops_wa",
        "verdict": "exact",
        "relative_error": "0",
        "note": "",
    }


def test_claims_of_ones_own(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "source,model,wbits,abits,metric,value,unit,kind,of,rule\n"
        "ours,ResNet-18,8,8,speedup,16,x,ratio,resnet18_v1,bitops_wa\n"
        "ours,ResNet-18,8,8,speedup,4,x,ratio,resnet18_v1,linear_bits\n"
    )
    assert run(["claims", "--file", str(path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "16 x 16 +0.00 % = exact bitops_wa inferred" in shown
    assert "2 published figures: 2 exact." in shown


def test_a_claim_of_a_traced_model(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import workloads
    from hwsim.cost.work import work
    from qmodels import evidence

    total = tally(work(evidence.skeleton_of(workloads.find("digits_deit_w4a4"))), "macs").total
    path = tmp_path / "mine.csv"
    head = "source,model,wbits,abits,metric,value,unit,kind,of,rule\n"
    path.write_text(f"{head}ours,digits,,,MACs,{total},MAC,total,digits_deit,macs\n")
    assert run(["claims", "--file", str(path)]) == 0
    out = capsys.readouterr().out
    assert "= exact" in out
    assert "1 models traced in " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "HAWK"], "source: unknown name, got 'HAWK'; known, nearest first: "),
        (["--source", "qonnx", "--model", "DeiT"], "model: unknown name, got 'DeiT'; known, nearest first: "),
        (["--verdict", "wrong"], "verdict: unknown name, got 'wrong'; known, nearest first: "),
        (["--file", "nowhere.csv"], "nowhere.csv: cannot be read as claims, got "),
    ],
)
def test_bad_input(capsys: Capture, arguments: list[str], message: str) -> None:
    assert run(["claims", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {message}")
    assert told.count("\n") == 1


def test_a_row_without_a_unit(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(SHIPPED.read_text().replace(",6.14,x,", ",6.14,,"))
    assert run(["claims", "--file", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path}:4: claim: a figure must have a unit, got none for 6.14; one of x, %, ")


def test_no_torch_is_asked_for_where_nothing_is_traced() -> None:
    code = "import sys; from hwsim.cli import run; run(['claims', '--source', 'qonnx']); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "False"
