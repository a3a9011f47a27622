"""The suites of `hwsim reproduce`: the integer one from end to end, in small; q-vit's is in test_end_to_end."""

import dataclasses
import json

import numpy as np
import pytest

import workloads
from hwsim import catalog
from hwsim.cli import _suites, run
from hwsim.cli._suites import integer as suite
from hwsim.cli._suites._digits import ready
from hwsim.errors import UnknownName
from hwsim.record import read_records
from hwsim.study.accumulators import Accumulator, widths
from hwsim.study.distance import operators

SMALL = dataclasses.replace(
    suite.PLAN,
    workloads=("digits_w4a4",),
    studied=("digits_w4a4",),
    recipes=("lut", "p2vit"),
    residual_bits=(8, 16),
    flips=suite.PLAN.flips[:1],
    rates=(1e-2,),
    large=("digits_deit_w3a3",),  # of random weights, as a large model is
)
FIGURES = (
    "accumulator_width",
    "accuracy_against_bits",
    "bit_flips",
    "code_agreement",
    "nonlinearity_distance",
    "recipes",
    "residual_width",
)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder of a run on 24 images; exit code, printed text and JSON."""
    out = tmp_path_factory.mktemp("suite") / "integer"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "PLAN", SMALL)
        code = run(["reproduce", "integer", "--out", str(out), "--limit", "24", "--json", str(out.parent / "json")])
    return out, code, json.loads((out.parent / "json").read_text())


@pytest.fixture(scope="module")
def records(job):
    return read_records(job[0] / "records.jsonl")


@pytest.fixture(scope="module")
def digits():
    return ready("digits_w4a4", 8, None)


def points(records, study, **tags):
    """The metrics of each point of a study with these tags, as (tags, values)."""
    found = {}
    for r in records:
        if r.tag("study") == study and all(r.tag(key) == value for key, value in tags.items()):
            found.setdefault(r.tags, {})[r.metric.removeprefix("study_")] = r.value
    return [(dict(tags), values) for tags, values in found.items()]


def test_suites_are_a_catalogue():
    assert _suites.names() == ("integer", "q-vit")
    assert all(callable(_suites.find(name)) for name in _suites.names())
    with pytest.raises(UnknownName) as caught:
        _suites.find("intger")
    assert str(caught.value) == "suite: unknown name, got 'intger'; known, nearest first: integer, q-vit"


def test_the_default_plan_names_what_there_is():
    plan = suite.PLAN
    assert set(plan.studied) <= set(plan.workloads)
    assert plan.residual_recipe in plan.recipes
    assert all(workloads.find(name) for name in (*plan.workloads, *plan.large))


def test_the_report_is_whole(job):
    out, code, _ = job
    assert code == 0
    assert sorted(path.name for path in (out / "figures").glob("*.png")) == [f"{name}.png" for name in FIGURES]
    text = (out / "report.md").read_text()
    for name in ("recipes", "nonlinearity_distance", "accumulator_widths", "agreement"):
        title = catalog.find("reports.tables", name)(read_records(out / "records.jsonl")).title
        assert f"## {title}\n" in text
    assert "Integer form: no float is left" in text
    assert "A speedup here" not in text


def test_machines_get_the_aims_and_the_mismatches(job):
    _, _, said = job
    assert said["suite"] == "integer"
    assert said["mismatched_float64"] == 0
    (aim,) = said["aims"]
    assert aim["aim"].startswith("points of accuracy lost at W4A4 by the best recipe (lut), aim at most 0.5")
    assert aim["met"] == (aim["value"] <= 0.5)


def test_recipes_are_judged_against_the_mixed_form(records):
    ((_, reference),) = points(records, "reference")
    assert (reference["agreement"], reference["kl_divergence"], reference["accuracy_drop"]) == (1.0, 0.0, 0.0)
    found = points(records, "recipes")
    assert [tags["recipe"] for tags, _ in found] == ["lut", "p2vit"]
    for tags, values in found:
        assert (tags["form"], tags["wbits"], tags["abits"]) == ("integer", "4", "4")
        lost = 100 * (reference["accuracy"] - values["accuracy"])
        assert values["accuracy_drop"] == pytest.approx(lost, abs=1e-9)
    assert 0 < found[0][1]["kl_divergence"] < found[1][1]["kl_divergence"] < 0.5
    residual = {tags["residual_bits"]: values for tags, values in points(records, "residual_width")}
    assert residual["16"] == found[0][1]  # the width that the recipe has
    assert residual["8"]["kl_divergence"] != residual["16"]["kl_divergence"]


def test_mixed_form_is_compared_code_by_code(records):
    codes = {r.tag("mode"): r.value for r in records if r.metric == "codes_mismatched" and r.tag("dtype") == "float64"}
    assert codes == {"node_by_node": 0, "free_running": 0}
    assert [r.value for r in records if r.metric == "images"] == [24]


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_narrowing_ends_where_accuracy_is_gone(records, overflow):
    found = points(records, "accumulator_width", overflow=overflow)
    assert [int(tags["acc_bits"]) for tags, _ in found] == list(range(21, 21 - len(found), -1))
    accuracies = [values["accuracy"] for _, values in found]
    assert accuracies[-1] <= 0.2 < min(accuracies[:-1])
    for tags, values in found:
        fits = int(tags["acc_bits"]) >= int(tags["bits_seen"])
        assert (values["kl_divergence"] == 0) == (float(tags["overflowed"]) == 0) == fits


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_where_the_sums_fit_nothing_changes(digits, overflow):
    """Why narrow_points need not run the widths that hold all sums that were seen."""
    seen = max(found.bits for found in digits.sums.values())
    assert seen < max(width.codes.bits for width in widths(digits.mixed))
    exact = digits.judged(digits.logits)
    assert digits.judge(digits.mixed, Accumulator(seen, overflow)) == exact
    assert digits.judge(digits.mixed, Accumulator(seen - 1, overflow)) != exact


def test_groups_of_accumulators(records):
    def bits(model_weights, how):
        rows = [r for r in records if r.tag("weights") == model_weights and r.metric == f"group_accumulator_{how}"]
        return {r.node: r.value for r in rows}

    for weights in ("trained", "random"):
        k = bits(weights, "k")
        assert k == {
            "patch_embed": 16, "qkv": 48, "qk": 16, "av": 65, "proj": 48, "fc1": 48, "fc2": 192, "head": 48
        }  # fmt: skip
        codes, tight = bits(weights, "bits_codes"), bits(weights, "bits_weights")
        assert all(tight[group] <= codes[group] for group in k)
    seen, tight = bits("trained", "bits_seen"), bits("trained", "bits_weights")
    assert all(seen[group] <= tight[group] for group in tight)
    assert bits("random", "bits_seen") == {}


def test_a_group_is_as_wide_as_its_widest_product(digits, records):
    for how in ("codes", "weights"):
        wanted = {}
        for width in widths(digits.mixed):
            group = width.node.rpartition("patch_embed.")[1].rstrip(".") or width.node.rpartition(".")[2]
            wanted[group] = max(wanted.get(group, 0), getattr(width, how).bits)
        found = [r for r in records if r.metric == f"group_accumulator_bits_{how}" and r.tag("weights") == "trained"]
        assert {r.node: r.value for r in found} == wanted


def test_flips_are_counted(records):
    ((tags, values),) = points(records, "bit_flips")
    assert (tags["target"], tags["bit"], tags["rate"]) == ("codes", "msb", "0.01")
    assert int(tags["flips"]) == pytest.approx(24 * 4 * 65 * 48 * 0.01, rel=0.1)
    assert values["kl_divergence"] > 0


def test_every_nonlinearity_has_its_distance(records):
    of_families = [r for r in records if r.metric == "distance_max" and r.tag("family")]
    assert {r.node for r in of_families} == set(operators())
    curve = [r for r in records if r.metric == "distance_at" and (r.node, r.tag("bits")) == ("lookup", "10")]
    assert np.all(np.diff([float(r.tag("x")) for r in curve]) > 0)
    assert max(r.value for r in curve) == next(
        r.value for r in of_families if (r.node, r.tag("bits")) == ("lookup", "10")
    )


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch, capsys):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "PLAN", dataclasses.replace(SMALL, workloads=(), studied=(), large=()))
    monkeypatch.setattr(suite, "distances", interrupted)
    assert run(["reproduce", "integer", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("error: interrupted; nothing was left half written\n")
    assert not (tmp_path / "out").exists()
