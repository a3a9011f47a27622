"""`hwsim audit`: what it prints and writes, and one line for bad input. On the digits model, which is quick to trace."""

import json

import pytest

from hwsim.cli import run
from hwsim.record import read_records

DIGITS = ("--model", "digits_deit")


def fails(capsys, *arguments):
    code = run(["audit", *map(str, arguments)])
    captured = capsys.readouterr()
    assert code == 2, captured.out
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("error: ").rstrip("\n")


@pytest.fixture
def rows(traced_once, monkeypatch):
    """The digits model without another trace."""
    from qmodels import outline

    monkeypatch.setattr(outline, "rows_of", lambda workload: traced_once)


@pytest.fixture(scope="module")
def traced_once():
    import workloads
    from qmodels.outline import rows_of

    return rows_of(workloads.find("digits_w4a4"))


def test_a_figure_that_comes_out(rows, capsys):
    assert run(["audit", "--speedup", "7.9", "--tolerance", "0.1", *DIGITS, "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("7.9x, DeiT-digits W4A4: what gives it")
    assert "bireal_ladder" in out
    assert "combinations tried" in out


def test_a_figure_that_nothing_gives(rows, capsys):
    assert run(["audit", "--speedup", "5000", *DIGITS]) == 0
    out = capsys.readouterr().out
    assert out.startswith("5000x, DeiT-digits W4A4: no convention of the grid gives it")
    assert "near" in out


def test_json_and_report(rows, tmp_path, capsys):
    out = tmp_path / "report"
    assert run(["audit", "--speedup", "8", *DIGITS, "--out", str(out), "--json", "-", "--limit", "3"]) == 0
    printed = capsys.readouterr().out
    summary = json.loads(printed[printed.index("{") :])
    assert summary["figure"] == "8x"
    assert summary["hits"] > 0
    assert len([r for r in summary["records"] if r["metric"] == "audit_reading"]) == 3
    assert (out / "figures" / "convention_sensitivity.png").is_file()
    metrics = {r.metric for r in read_records(out / "records.jsonl")}
    assert {"audit_reading", "audit_searched", "speedup_sensitivity"} <= metrics


def test_sizes_have_no_sensitivity(rows, tmp_path):
    out = tmp_path / "report"
    assert run(["audit", "--size", "0.1", *DIGITS, "--out", str(out)]) == 0
    assert not (out / "figures").exists()


def test_a_rule_and_a_grid_of_the_user(rows, tmp_path, capsys):
    rule, grid = tmp_path / "mine.toml", tmp_path / "grid.toml"
    rule.write_text('formula = "macs * w * a / 7"\nunit = "OP"\n')
    grid.write_text('rounding = ["none"]\nattention_on = ["both"]\n[elementwise]\nlayernorm = [0]\n')
    arguments = ["--speedup", "64", "--tolerance", "0.3", *DIGITS, "--convention", str(rule), "--grid", str(grid)]
    assert run(["audit", *arguments, "--json", "-"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {"mine", "bitops_wa"} <= {r["tags"].get("convention") for r in summary["records"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (DIGITS, "audit: one figure is needed, got none; give --speedup, --ops, --bitops or --size"),
        (
            ("--speedup", "6", "--size", "5", *DIGITS),
            "audit: one figure is needed, got --speedup, --size; give --speedup, --ops, --bitops or --size",
        ),
        (
            ("--speedup", "0", *DIGITS),
            "speedup: a figure must be a positive number, got '0'; give it as printed, 6.14",
        ),
        (
            ("--speedup", "-3", *DIGITS),
            "speedup: a figure must be a positive number, got '-3'; give it as printed, 6.14",
        ),
        (
            ("--speedup", "6", *DIGITS, "--tolerance", "2"),
            "tolerance: must be relative and in 0..1, got 2.0; 0.01 allows one per cent",
        ),
        (
            ("--speedup", "6", *DIGITS, "--wbits", "32", "--abits", "32"),
            "speedup: the model must be quantized, got W32A32; give --wbits and --abits",
        ),
    ],
)
def test_bad_input(arguments, message, rows, capsys):
    assert fails(capsys, *arguments) == message


def test_what_cannot_be_asked_is_refused_before_anything_is_traced(tmp_path, monkeypatch, capsys):
    from qmodels import outline

    monkeypatch.setattr(outline, "rows_of", lambda workload: pytest.fail("traced in vain"))
    floats = fails(capsys, "--speedup", "6", *DIGITS, "--wbits", "32", "--abits", "32")
    assert floats == "speedup: the model must be quantized, got W32A32; give --wbits and --abits"
    rule = tmp_path / "mine.toml"
    rule.write_text('formula = "macs"\nunit = "joule"\n')
    assert fails(capsys, "--ops", "6", *DIGITS, "--convention", rule) == (
        "ops: a convention must count MAC or FLOP or OP, got joule of mine; mend its unit, or leave it out"
    )


def test_a_rule_of_the_user_is_searched_in_whatever_unit(rows, tmp_path, capsys):
    rule = tmp_path / "mine.toml"
    rule.write_text('formula = "macs * w * w"\nunit = "joule"\n')
    assert (
        run(["audit", "--speedup", "60", *DIGITS, "--tolerance", "0.2", "--convention", str(rule), "--json", "-"]) == 0
    )
    found = [r["tags"] for r in json.loads(capsys.readouterr().out)["records"] if r["metric"] == "audit_reading"]
    assert any("mine" in (r["convention"].split(",")[0], *r.get("also", "").split(", ")) for r in found)


def test_a_formula_without_a_value_is_told(rows, tmp_path, capsys):
    rule = tmp_path / "mine.toml"
    rule.write_text('formula = "macs / (w - 4)"\nends_bits = 4\n')
    told = fails(capsys, "--speedup", "60", *DIGITS, "--convention", rule)
    assert told.startswith(f"{rule}: mine: a row must cost a finite number of 0 or more, got division by zero at ")


def test_bad_names(rows, tmp_path, capsys):
    unknown = fails(capsys, "--speedup", "6", "--model", "Deit-small")
    assert unknown.startswith("model: unknown name, got 'Deit-small'; known, nearest first: deit_small_patch16_224")
    convention = fails(capsys, "--speedup", "6", *DIGITS, "--convention", "bitops")
    assert convention.startswith("convention: unknown name, got 'bitops'; known, nearest first: bitops_wa")
    grid = tmp_path / "grid.toml"
    grid.write_text("end_bits = [8]")
    assert fails(capsys, "--speedup", "6", *DIGITS, "--grid", grid).startswith(f"{grid}: unknown key, got 'end_bits'; ")
    assert fails(capsys, "--speedup", "6", *DIGITS, "--out", grid).endswith("choose another folder")
    assert fails(capsys, "--speedup", "6", *DIGITS, "--wbits", "9").startswith(
        "bits: weights must be 1..8 or 32, got 9"
    )


def test_the_distilled_form_is_tried_too(traced_once, monkeypatch, capsys):
    from qmodels import outline

    asked = []
    monkeypatch.setattr(outline, "rows_of", lambda workload: asked.append(workload.model.name) or traced_once)
    assert run(["audit", "--speedup", "8", "--model", "deit_small_patch16_224", "--json", "-"]) == 0
    assert asked == ["deit_small_patch16_224", "deit_small_distilled_patch16_224"]
    tags = [r["tags"] for r in json.loads(capsys.readouterr().out)["records"] if r["metric"] == "audit_reading"]
    assert all((t["of"] == "DeiT-S") == (t["named"] == "True") for t in tags)
    asked.clear()
    assert run(["audit", "--speedup", "8", "--model", "deit_small_distilled_patch16_224", "--json", "-"]) == 0
    assert asked == ["deit_small_distilled_patch16_224"]
