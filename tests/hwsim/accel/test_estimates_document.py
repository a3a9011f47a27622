"""docs/estimates.md: the speedups that it states, and the Python that it shows."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.accel import evaluate, find, float32
from hwsim.accel.estimate import PARTS
from hwsim.accel.gap import speedups
from hwsim.accel.program import Program
from hwsim.cost.table import speedup

TEXT = (Path(__file__).parents[3] / "docs" / "estimates.md").read_text(encoding="utf-8")
MODEL = "deit_small_distilled_patch16_224"


def _stated() -> dict[tuple[str, str], list[str]]:
    found, machine = {}, ""
    for line in TEXT.splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if len(cells) == 8 and cells[1] in ("float32", "8 bits"):
            machine = cells[0].partition(" ")[0] or machine
            found[machine, cells[1]] = cells[2:]
    return found


@pytest.mark.parametrize("row", _stated(), ids=" over ".join)
def test_the_gap_between_paper_and_machine(row: tuple[str, str], program_of: Callable[[str], Program]) -> None:
    whole, machine = program_of(MODEL), find(row[0])
    over = evaluate(whole.at(8, 8, 8), machine) if row[1] == "8 bits" else evaluate(whole.at(32, 32), float32(machine))
    steps = speedups(evaluate(whole.at(4, 4), machine), over)
    assert _stated()[row] == [f"{float(steps[part]):.2f}x" for part in PARTS]


def test_there_are_five_rows() -> None:
    assert len(_stated()) == 5


def test_shares_and_bytes(program_of: Callable[[str], Program]) -> None:
    whole = program_of(MODEL)
    found = evaluate(whole.at(4, 4), find("fusion_32x32"))
    [share] = re.findall(r"half of what is left: (\d+) % of all cycles", TEXT)
    assert share == f"{100 * float(found.parts['vector'] / found.cycles):.0f}"
    weights = [sum(row.weights * row.gemm.b_bits for row in rows if row.gemm) / 8e6
               for rows in (whole.at(32, 32).rows, whole.at(4, 4).rows)]  # fmt: skip
    assert f"{weights[0]:.0f} MB of weights per image become {weights[1]:.0f}." in TEXT
    assert f"{speedup(whole.at(4, 4).rows, 'qvit_table'):.2f}" == "6.14"


def test_the_python_that_it_shows(graph_at: Callable[..., object]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    scope = {"graph": graph_at(MODEL)}
    exec(code, scope)
    assert float(scope["estimate"].fps) > 0  # type: ignore[attr-defined]
