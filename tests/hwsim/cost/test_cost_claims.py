"""Every claim is decided as recorded here; what moves one of our own figures fails."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hwsim.cost.claims import AGREEING, Decision, counts, decide, decide_all, needed, verdict
from hwsim.cost.work import Rows
from hwsim.errors import HwsimError, UnknownName
from workloads.claims import Claim, shipped

OFF = {  # source, model, weights' bits, metric: each has a note that says why
    ("Q-DETR (arXiv 2304.00253) table 3", "DETR-R50", "32", "size"),
    *(("Q-DETR (arXiv 2304.00253) table 3", "DETR-R50", bits, "OPs") for bits in "8432"),
    *(("Q-DETR (arXiv 2304.00253) table 3", "SMCA-DETR-R50", bits, "OPs") for bits in "8432"),
    *(("Q-DETR (arXiv 2304.00253) table 3", model, b, "size") for model in ("DETR-R50", "SMCA-DETR-R50") for b in "32"),
    ("PTQ-ViT (Liu 2021, arXiv 2106.14156) table 1", "ViT-B", "8", "size"),
    ("HAWQ-V3 README (arXiv 2011.10680)", "ResNet50", "32", "size"),
    ("HAWQ-V3 README (arXiv 2011.10680)", "ResNet50", "8", "size"),
    ("HAWQ-V3 README (arXiv 2011.10680)", "ResNet18", "MP4/8", "BOPS"),
    ("HAWQ-V3 README (arXiv 2011.10680)", "ResNet50", "MP4/8", "BOPS"),
    ("GPUSQ-ViT (arXiv 2305.10727) abstract", "ViT/DeiT/Swin", "8..4", "size_reduction_high"),
}
TRUNCATED = {"11.23", "7.99", "6.42", "230.2", "34", "5.6"}


@pytest.fixture(scope="session")
def decisions(traced: Callable, labels: dict[str, str]) -> tuple[Decision, ...]:
    names = {name: label for label, name in labels.items()}
    return decide_all(shipped(), {name: traced(names[name]).rows for name in needed(shipped())})


def test_our_own_figures_do_not_move(decisions: tuple[Decision, ...]) -> None:
    own = [d for d in decisions if d.claim.own]
    moved = [f"{d.claim}: {d.ours}, {d.verdict}" for d in own if d.verdict not in ("exact", "within rounding")]
    assert not moved
    whole = [d for d in own if d.claim.decimals == 0]
    assert len(whole) == 45
    assert all(d.verdict == "exact" for d in whole)


def test_verdicts_of_published_figures(decisions: tuple[Decision, ...]) -> None:
    published = [d for d in decisions if not d.claim.own]
    key = lambda claim: (claim.source, claim.model, claim.wbits, claim.metric)  # noqa: E731
    assert {key(d.claim) for d in published if d.verdict == "off"} == OFF
    assert {d.claim.value for d in published if d.verdict == "truncated"} == TRUNCATED
    assert counts(published) == {
        "exact": 23,
        "within rounding": 25,
        "truncated": 6,
        "off": 19,
        "measurement": 16,
        "undecided": 15,
    }
    assert all(d.claim.note for d in published if d.verdict in ("off", "undecided", "measurement"))


def test_q_detr_within_four_percent(decisions: tuple[Decision, ...]) -> None:
    errors = [
        d.error
        for d in decisions
        if d.claim.source.startswith("Q-DETR (") and (d.claim.model, d.claim.metric) == ("DETR-R50", "OPs")
    ]
    assert max(abs(error) for error in errors if error is not None) < 0.04


def _claim(value: str, **changes: str) -> Claim:
    return replace(Claim("a paper", "DeiT-S", "", "", "speedup", value, "x", kind="arithmetic", rule="43/7"), **changes)


@pytest.mark.parametrize(
    ("printed", "ours", "expected"),
    [
        ("6.14", 6.14, "exact"),
        ("6.14", 6.135, "within rounding"),
        ("6.14", 6.1449, "within rounding"),
        ("6.14", 6.145, "truncated"),
        ("6.14", 6.1499, "truncated"),
        ("6.14", 6.15, "off"),
        ("6.14", 6.1349, "off"),
        ("34", 34.7144192, "truncated"),
        ("about 21", 21.125, "within rounding"),
        ("19.92", 159.32 * 4 / 32, "within rounding"),  # 19.915, which no float is
        ("22.0", 21.999999999999996, "exact"),
    ],
)
def test_verdict(printed: str, ours: float, expected: str) -> None:
    assert verdict(ours, _claim(printed)) == expected
    assert (expected in AGREEING) == (expected != "off")


def test_arithmetic_needs_no_model() -> None:
    decision = decide(_claim("6.14"), {})
    assert (decision.ours, decision.verdict) == (43 / 7, "within rounding")
    assert needed([_claim("6.14")]) == ()
    record = decision.record()
    assert (record.workload, record.metric, record.value, record.unit) == ("DeiT-S", "claim", 43 / 7, "x")
    assert record.tag("printed") == "6.14"
    assert float(record.tag("relative_error")) == pytest.approx(43 / 7 / 6.14 - 1, rel=1e-5)


def test_what_no_formula_decides() -> None:
    claim = _claim("80.9", kind="measurement", rule="", note="takes a run")
    decision = decide(claim, {})
    assert (decision.ours, decision.error, decision.verdict) == (None, None, "measurement")
    assert (decision.record().value, decision.record().source) == (80.9, "measured")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "1/0"}, "a paper: 6.14x, DeiT-S: 1/0 must give a number, got division by zero; mend the rule"),
        ({"rule": "1/zero"}, "a paper: 6.14x, DeiT-S: formula: unknown symbol, got 'zero' at 3 of '1/zero'; "),
        ({"rule": "9**999"}, "a paper: 6.14x, DeiT-S: 9**999 must give a number, got math range error; mend the rule"),
        (
            {"kind": "ratio", "of": "deit_small_patch16_224 at w4a4", "rule": "bireal_ladder"},
            "a paper: 6.14x, DeiT-S: rows of deit_small_patch16_224 are needed, got none; trace it too",
        ),
        (
            {"kind": "total", "of": "resnet18_v1", "rule": "bitops"},
            "a paper: 6.14x, DeiT-S: convention: unknown name, got 'bitops'; known, nearest first: bitops_wa, ",
        ),
        (
            {"kind": "total", "of": "resnet18_v1", "rule": "bitops_wa rounded=yes"},
            "a paper: 6.14x, DeiT-S: bitops_wa: option: unknown name, got 'rounded'; known, nearest first: rounding, ",
        ),
        (
            {"kind": "total", "of": "resnet18_v1", "rule": "macs"},
            "a paper: 6.14x, DeiT-S: unit must be that of the rule, MAC, or G for 10^9 of them, got x; mend the unit, or "
            "name another rule",
        ),
        (
            {"kind": "total", "of": "resnet18_v1", "rule": "size_simple", "unit": "M"},
            "a paper: 6.14M, DeiT-S: unit must be that of the rule, bytes, MB or MiB, got M; ",
        ),
        (
            {"kind": "ratio", "of": "resnet18_v1 at w4a4", "rule": "macs", "unit": "G"},
            "a paper: 6.14G, DeiT-S: unit must be that of the rule, x, a ratio, got G; ",
        ),
        (
            {"kind": "group:qkw", "of": "resnet18_v1", "rule": "macs", "unit": "G"},
            "a paper: 6.14G, DeiT-S: group: unknown name, got 'qkw'; known, nearest first: ",
        ),
        (
            {"kind": "ratio", "of": "resnet18_v1", "rule": "bitops_wa"},
            "a paper: 6.14x, DeiT-S: widths must be numbers, got none; write `resnet18_v1 at w4a4` in the column of",
        ),
        (
            {"kind": "total", "of": "resnet18_v1", "rule": "bitops_wa", "unit": "G", "wbits": "MP", "abits": "MP"},
            "a paper: 6.14G, DeiT-S WMPAMP: widths must be numbers, got MP and MP; write `resnet18_v1 at w4a4` in the ",
        ),
    ],
)
def test_a_rule_that_cannot_be_applied(changes: dict[str, str], message: str) -> None:
    with pytest.raises(HwsimError) as error:
        decide(_claim("6.14", **changes), {})
    assert str(error.value).startswith(message)


def test_widths_that_are_words(traced: Callable) -> None:
    rows: Rows = traced("DeiT-S").rows
    mixed = _claim("6.14", kind="ratio", of="deit_small_patch16_224", rule="bireal_ladder", wbits="mixed", abits="8")
    with pytest.raises(HwsimError) as error:
        decide(mixed, {"deit_small_patch16_224": rows})
    assert str(error.value) == (
        "a paper: 6.14x, DeiT-S WmixedA8: widths must be numbers, got mixed and 8; write `deit_small_patch16_224 at w4a4` "
        "in the column of"
    )
    named = replace(mixed, of="deit_small_patch16_224 at w4a4")
    assert decide(named, {"deit_small_patch16_224": rows}).ours == pytest.approx(7.33, abs=0.001)


def test_a_model_that_nobody_knows() -> None:
    with pytest.raises(UnknownName, match=r"a paper: 6\.14x, DeiT-S: model: unknown name, got 'DeiT-S'"):
        needed([_claim("6.14", kind="ratio", of="DeiT-S", rule="bireal_ladder")])


def test_a_convention_of_ones_own(tmp_path: object) -> None:
    path = f"{tmp_path}/mine.toml"
    with open(path, "w", encoding="utf-8") as file:
        file.write('formula = "macs"\nkind = "operations"\nunit = "OP"\n')
    claim = _claim("1.814", kind="total", of="resnet18_v1", rule=path, unit="G", wbits="8", abits="8")
    assert decide(claim, {}).verdict == "within rounding"


def test_a_total_without_widths_is_of_the_float_model() -> None:
    claim = _claim("1858", kind="total", of="resnet18_v1", rule="bitops_wa", unit="G")
    assert decide(claim, {}).verdict == "within rounding"
