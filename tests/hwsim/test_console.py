import json

import pytest
from rich.table import Table

from hwsim import console
from hwsim.errors import BadFile
from hwsim.record import Record

RECORD = Record("deit", "macs", 7, "MAC")


@pytest.mark.parametrize("target", ["-", "file"])
def test_json(tmp_path, capsys, target):
    path = str(tmp_path / "out.json") if target == "file" else "-"
    console.write_json(path, [RECORD], {"images": 3})
    out, err = capsys.readouterr()
    text = (tmp_path / "out.json").read_text() if target == "file" else out
    assert json.loads(text) == {"images": 3, "records": [RECORD.as_json()]}
    assert text.endswith("}\n")
    assert err == ""
    assert (out == "") == (target == "file")


def test_json_to_an_unwritable_place(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadFile, match="cannot be written"):
        console.write_json(str(tmp_path / "file" / "json"), [RECORD], {})


def test_progress_is_quiet_in_a_pipe(capsys):
    with console.progress("tracing") as advance:
        for done in range(1000):
            advance(done, 1000)
    assert capsys.readouterr() == ("", "")


def test_progress_says_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)
    with console.progress("tracing") as advance:
        advance(1, 2)
        advance(2, 2)
    assert capsys.readouterr() == ("", "tracing: 1 of 2\ntracing: 2 of 2\n")


def test_progress_says_how_it_goes_and_how_long_it_takes(capsys, monkeypatch):
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)
    clock = iter((0.0, *(10.0,) * 2, *(70.0,) * 2, *(3700.0,) * 2))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.progress("training") as advance:
        advance(1, 10, "loss 2.000")
        advance(3, 10, "loss 1.500")
        advance(5, 10)
    assert capsys.readouterr().err.splitlines() == [
        "training: 1 of 10, loss 2.000",
        "training: 3 of 10, loss 1.500, 0:04:05 left",
        "training: 5 of 10, 1:17:05 left",
    ]


def test_progress_on_a_terminal_leaves_stdout_alone(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with console.progress("tracing") as advance:
        advance(1, 2)
    assert capsys.readouterr().out == ""


def test_a_table_in_a_pipe_is_plain_text(capsys):
    table = Table("node", "value")
    table.add_row("blocks.0.fc1", "1" * 30)
    console.out().print(table)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "blocks.0.fc1" in text
    assert "1" * 30 in text
