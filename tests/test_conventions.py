"""docs/conventions.md: its files and its code run, and its table is the catalogue."""

import re
from pathlib import Path

import pytest

from hwsim import catalog
from hwsim.cost import options
from hwsim.cost.elementwise import KINDS
from hwsim.cost.operations import Operations
from hwsim.cost.sizes import Sizes
from hwsim.cost.table import CATALOGUE, find

DOCUMENT = Path(__file__).parent.parent / "docs" / "conventions.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    files = re.findall(r"```toml\n# (\S+)\n(.*?)```", TEXT, flags=re.DOTALL)
    assert [name for name, _ in files] == ["eight.toml", "serial.toml", "packed.toml"]
    for name, text in files:
        Path(name).write_text(text)
    session: dict[str, object] = {"__name__": "session"}
    for block in re.finditer(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        exec(compile("\n" * TEXT.count("\n", 0, block.start(1)) + block[1], str(DOCUMENT), "exec"), session)
    assert capsys.readouterr().out.startswith("serial ")


def test_the_table_is_the_catalogue() -> None:
    rows = [
        re.split(r" *\| *", line.strip("| "))
        for line in TEXT.splitlines()
        if re.match(r"\| `\w+` \| .* \| \w+ \|$", line)
    ]
    told = {row[0].strip("`"): (row[-2].partition(",")[0], row[-1]) for row in rows}
    assert told == {name: (find(name).status, find(name).unit) for name in catalog.names(CATALOGUE)}


def test_every_option_is_told() -> None:
    names = {*options.of(Operations), *options.of(Sizes), *KINDS}
    assert not [name for name in names if not re.search(rf"`(elementwise\.)?{name}`", TEXT)]
