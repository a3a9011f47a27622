"""docs/systolic.md: its code prints what it says, its table is what the array does, and its pictures can be drawn."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from hwsim.accel.stepped import run

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "systolic.md").read_text(encoding="utf-8")


def test_the_code_prints_what_its_comments_say(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"^print.*# (.*)$", block, flags=re.MULTILINE)


def test_the_table_is_observed():
    rows = re.findall(
        r"^\| (\w+_stationary) \| (\d+) \| (\d+) \| (\d+%) \| (\d+) \| (\d+) \| (\d+) \|$", TEXT, re.MULTILINE
    )
    assert len(rows) == 3
    for name, *told in rows:
        seen = run(4, 4, name, np.ones((8, 4), np.int8), np.ones((4, 4), np.int8))
        traffic = seen.activation_reads, seen.weight_reads, seen.output_writes
        assert told == [
            str(len(seen.fold_cycles)),
            str(seen.cycles),
            f"{seen.utilisation.mean():.0%}",
            *map(str, traffic),
        ]


@pytest.mark.slow
def test_the_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    runpy.run_path(str(DOCS / "figures" / "systolic.py"))["main"](tmp_path)
    for name in ("systolic.png", "systolic.gif"):
        assert 10_000 < (tmp_path / name).stat().st_size < 300_000
        assert (DOCS / "figures" / name).is_file()
