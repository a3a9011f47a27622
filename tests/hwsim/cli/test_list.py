import json
from pathlib import Path

import pytest

from hwsim import catalog
from hwsim.cli import run
from hwsim.cost.table import CATALOGUE, find

NAMES = catalog.names(CATALOGUE)


def test_conventions_with_status_unit_and_formula(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "conventions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [[name, find(name).status, find(name).unit] for name in NAMES]
    assert (
        "macs          printed   MAC    multiply-accumulates, whatever their widths. Total = sum of "
        in lines[NAMES.index("macs")]
    )


def test_conventions_with_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "conventions", "--options"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(NAMES)
    assert lines[1 + 2 * NAMES.index("qvit_table")].split() == [
        "ends=patch_embed,head",
        "rounding=round:1:G",
        "ends_bits=32",
        "attention_matmuls=true",
        "attention_bits=none",
        "elementwise=qvit",
        "flops_per_mac=1",
    ]


def test_conventions_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["list", "conventions", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)["conventions"]
    assert [one["name"] for one in told] == [*NAMES]
    hawq = next(one for one in told if one["name"] == "size_hawq")
    assert (hawq["status"], hawq["unit"]) == ("fitted", "byte")
    assert hawq["options"] == {
        "ends": "patch_embed,head",
        "rounding": "round:1:Mi",
        "label": "",
        "ends_bits": "8",
        "weights_bits": "none",
        "rest_bits": "32",
        "count_rest": "false",
    }
    assert run(["list", "grids", "--json", str(tmp_path / "grids.json")]) == 0
    assert json.loads((tmp_path / "grids.json").read_text())["grids"] == capsys.readouterr().out.split()


def test_energy_tables_with_what_they_differ_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "energies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [horowitz] = [line for line in lines if line.startswith("horowitz_45nm")]
    assert horowitz.split()[1:8] == ["45", "nm", "0.3000", "pJ", "30.4688,", "30.4688", "pJ/bit"]
    assert run(["list", "energies", "--json", "-"]) == 0
    [one] = [one for one in json.loads(capsys.readouterr().out)["energies"] if one["name"] == "bit_fusion_45nm"]
    assert one["node_nm"] == 45
    assert {entry["status"] for entry in one["constants"]} <= {
        "printed",
        "recalled",
        "derived",
        "inferred",
        "borrowed",
        "ours",
    }


def test_searchers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "searchers"]) == 0
    assert capsys.readouterr().out.split() == ["evolutionary", "exact", "greedy"]
