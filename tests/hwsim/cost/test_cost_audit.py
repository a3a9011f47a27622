from collections.abc import Callable

import pytest

from hwsim.cost.audit import BITS, MODELS, audit_qvit, needed
from hwsim.errors import HwsimError
from hwsim.record import Record

TAGS = {
    "claim",
    "printed",
    "printed_status",
    "wbits",
    "abits",
    "convention",
    "full_precision",
    "quantized",
    "relative_error",
}


@pytest.fixture(scope="module")
def records(traced: Callable, labels: dict[str, str]) -> tuple[Record, ...]:
    return audit_qvit({name: traced(label).rows for label, name in labels.items()})


def _select(records: tuple[Record, ...], model: str, bits: int, convention: str) -> Record:
    (found,) = (
        r for r in records if (r.workload, r.tag("wbits")) == (model, str(bits)) and convention in r.tag("convention")
    )
    return found


def test_one_record_per_model_bits_and_reading(records: tuple[Record, ...]) -> None:
    assert len(records) == len(MODELS) * len(BITS) * 3 + 1
    assert len({(r.workload, r.tag("wbits"), r.tag("convention")) for r in records}) == len(records)
    assert all(set(dict(r.tags)) == TAGS and r.unit == "x" for r in records)
    assert {r.source for r in records} == {"inferred", "documented rule"}


@pytest.mark.parametrize(("bits", "ratio"), [(4, 7.33), (3, 13.38), (2, 22.78)])
def test_documented_rule_on_deit_small(records: tuple[Record, ...], bits: int, ratio: float) -> None:
    record = _select(records, "deit_small_patch16_224", bits, "bireal_ladder")
    assert round(float(record.value), 2) == ratio
    assert record.source == "documented rule"
    assert record.tag("full_precision") == "4.6008"


def test_the_abstract(records: tuple[Record, ...]) -> None:
    for reading in ("R1a", "R1b"):
        record = _select(records, "deit_small_patch16_224", 4, reading)
        assert record.value == 43 / 7
        assert (record.metric, record.source) == ("theoretical_speedup", "inferred")
        assert (record.tag("full_precision"), record.tag("quantized")) == ("4.3", "0.7")
        assert record.tag("claim") == "Q-ViT (arXiv 2210.06707) abstract: 6.14x, DeiT-S W4A4"
        assert (record.tag("printed"), record.tag("printed_status")) == ("6.14", "printed")
        assert record.tag("relative_error") == "+0.05 %"
    documented = _select(records, "deit_small_patch16_224", 4, "bireal_ladder")
    assert documented.tag("relative_error") == "+19.38 %"


def test_about_21(records: tuple[Record, ...]) -> None:
    small, base = "deit_small_patch16_224", "deit_base_patch16_224"
    found = {
        _select(records, small, 2, "R1b").value,
        _select(records, base, 2, "R1a").value,
        round(float(_select(records, small, 2, "MACs alone").value), 1),
    }
    assert found == {21.5, 21.125, 21.2}
    claimed = [r for r in records if r.metric == "flops_reduction"]
    assert {(r.workload, r.tag("wbits")) for r in claimed} == {(small, "2"), (base, "2")}
    assert {(r.tag("printed"), r.tag("printed_status")) for r in claimed} == {("about 21", "secondary")}


def test_swin_serves_itself(records: tuple[Record, ...]) -> None:
    record = _select(records, "swin_tiny_patch4_window7_224", 4, "R1b")
    assert (record.tag("full_precision"), record.tag("printed"), record.tag("relative_error")) == ("4.4", "", "")


def test_a_missing_model() -> None:
    rows = {name: () for name in needed() if name != "deit_base_distilled_patch16_224"}
    with pytest.raises(HwsimError) as error:
        audit_qvit(rows)
    assert str(error.value) == (
        f"audit: rows of deit_base_distilled_patch16_224 are needed, got {', '.join(rows)}; trace it too"
    )
