"""The main job, from names to a report; and what is left of it when it is interrupted."""

import json
import signal
import subprocess
import sys
import time

import pytest

from hwsim.cli import run
from hwsim.record import read_records

COMMAND = (sys.executable, "-m", "hwsim", "reproduce", "--out")
OF_THE_INTEGER_FORM = (
    "table accumulator_widths",
    "table nonlinearity_distance",
    "table recipes",
    "figure accumulator_width",
    "figure bit_flips",
    "figure nonlinearity_distance",
    "figure recipes",
    "figure residual_width",
)
"""Of the suite `integer`; test_suites runs it."""
OF_ACCELERATORS = ("table node_cycles", "table pipeline_units")
"""Of `hwsim estimate --per-layer`, and of pipelines."""
OF_SWEEPS = ("table pareto_front", "figure pareto_front")
OF_TRAININGS = (
    "table ablation",
    "table ablation_mechanisms",
    "figure ablation",
    "figure ablation_mechanisms",
    "figure accuracy_of_suites_against_bits",
    "figure attention_maps",
    "figure learned_scales",
    "figure oscillation",
    "figure query_key_codes",
)
"""Of `hwsim train --suite` and its logs."""
OF_METHODS = (
    "table method_comparison",
    "table method_details",
    "table method_units",
    "table quantizer_orderings",
    "table reconstruction_error",
    "figure accuracy_against_bits_of_methods",
    "figure method_pareto",
    "figure reconstruction_error",
)
"""Of `hwsim compare`."""


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder, the exit code and the output of one run of `hwsim reproduce`."""
    out = tmp_path_factory.mktemp("job") / "q-vit"
    done = subprocess.run([*COMMAND, str(out)], capture_output=True, text=True, check=False)
    return out, done


def test_it_succeeds_and_prints_the_tables(job):
    out, done = job
    assert done.returncode == 0, done.stderr
    assert "0 of 254,263,680 codes differ between integers and fake quant in float64." in done.stdout
    claims = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("DeiT-S")]
    at_four = [line for line in claims if line[1] == "4/4"]
    assert {line[4] for line in at_four} == {"7.3300x", "6.1429x"}
    assert all("6.14x" in line for line in at_four)
    at_two = [line for line in claims if line[1] == "2/2"]
    assert {"22.7790x", "21.5000x"} <= {line[5] for line in at_two}
    assert all(line[2:5] == ["about", "21x", "(s)"] for line in at_two)
    assert "6.142857x = 4.3/0.7 by qvit_table R1b, 1 decimal (inferred)" in done.stdout
    assert "report.html" in done.stdout
    assert (out / "report.html").is_file()


def test_the_report_is_whole(job):
    out, _ = job
    figures = sorted(path.name for path in (out / "figures").iterdir())
    names = {name.rsplit(".", 1)[0] for name in figures}
    assert names == {
        "accuracy_against_bits",
        "claims",
        "code_agreement",
        "convention_sensitivity",
        "cost_breakdown",
        "cycles_split",
        "energy_spread",
        "flops_reduction",
        "macs_per_group",
        "published_agreement",
        "roofline",
        "size_and_cost_against_bits",
        "size_with_overheads",
        "speedup",
        "speedup_gap",
    }
    assert len(figures) == 2 * len(names)
    for name in names:
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"figures/{name}.png" in (out / "report.md").read_text()
    html = (out / "report.html").read_text()
    assert html.count("<svg") == len(names)
    left_out = (out / "report.md").read_text().rpartition("There are no records for: ")[2]
    assert sorted(left_out.removesuffix(".\n").split(", ")) == sorted(
        (*OF_THE_INTEGER_FORM, *OF_ACCELERATORS, *OF_SWEEPS, *OF_TRAININGS, *OF_METHODS)
    )
    assert "<script" not in html


def test_the_records_hold_what_the_report_shows(job):
    records = read_records(job[0] / "records.jsonl")
    codes = {
        (r.workload, r.tag("mode"), r.tag("dtype")): r.value
        for r in records
        if r.metric in ("codes_mismatched",) and r.tag("dtype") == "float64"
    }
    assert len(codes) == 4
    assert set(codes.values()) == {0}
    agreement = [r.value for r in records if r.metric == "prediction_agreement"]
    assert agreement == [1.0, 1.0]
    macs = {r.workload: r.value for r in records if r.metric == "macs" and r.node == ""}
    assert macs["deit_small_patch16_224"] == 4_598_882_304
    assert macs["swin_tiny_patch4_window7_224"] == 4_490_566_656
    ours = next(
        r.value
        for r in records
        if r.workload == "deit_small_patch16_224" and r.tag("wbits") == "4" and "R1b" in r.tag("convention")
    )
    assert ours == pytest.approx(43 / 7, rel=1e-12)


@pytest.mark.slow
def test_a_report_can_be_made_again_from_its_records(job, tmp_path):
    out, _ = job
    assert run(["report", str(out / "records.jsonl"), "--out", str(tmp_path / "again")]) == 0
    for path in out.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(out)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_an_interrupt_leaves_no_half_report(tmp_path):
    out = tmp_path / "interrupted"
    process = subprocess.Popen([*COMMAND, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(8)  # in the middle of tracing
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.strip().splitlines() == ["error: interrupted; nothing was left half written"]
    assert not out.exists() or not any(out.iterdir())
    assert "codes differ" not in output


def test_json_holds_the_records_and_the_summary(tmp_path, capsys):
    target = tmp_path / "cost.json"
    assert run(["cost", "digits_deit", "--json", str(target)]) == 0
    assert "total" in capsys.readouterr().out
    result = json.loads(target.read_text())
    assert result["model"] == "digits_deit"
    assert all({"workload", "metric", "value", "unit"} <= set(record) for record in result["records"])
