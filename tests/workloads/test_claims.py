"""The shipped claims are whole, and a row that is no claim is refused with its line."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.errors import BadFile, HwsimError
from workloads import models, topologies
from workloads.claims import KINDS, OWN, READINGS, SHIPPED, UNITS, Claim, read, shipped

HEAD = "source,model,wbits,abits,metric,value,unit"
ROW = "a paper,DeiT-S,4,4,size,11.0,MB"
UNIT_NAMES = ", ".join(UNITS)


def test_every_claim_is_there() -> None:
    claims = shipped()
    assert len(claims) == 242  # the 241 that were collected, and the one that reviews of Q-ViT quote
    assert sum(claim.own for claim in claims) == 138
    kinds = Counter(claim.kind.partition(":")[0] for claim in claims if not claim.own)
    assert kinds == {"arithmetic": 39, "total": 30, "ratio": 4, "measurement": 16, "undecided": 15}
    assert {claim.kind.partition(":")[0] for claim in claims} == set(KINDS)


def test_what_a_formula_decides_says_who_states_the_rule_and_the_rest_says_why() -> None:
    for claim in shipped():
        if claim.decided:
            assert claim.reading in READINGS, str(claim)
        else:
            assert claim.note, str(claim)
            assert (claim.of, claim.rule, claim.reading) == ("", "", ""), str(claim)
        if claim.of:
            assert claim.subject[0] in (*models.names(), *topologies.names()), str(claim)


def test_our_own_figures_are_all_decided() -> None:
    assert all(claim.decided and claim.status == "derived" for claim in shipped() if claim.own)
    assert all(claim.own for claim in shipped() if claim.status == "derived")
    assert sum(claim.source.startswith(OWN) for claim in shipped()) == 138


def test_arithmetic_of_printed_entries_takes_what_is_printed() -> None:
    """`85.51/13.02` of Q-DETR's text are entries of its table: the same model, at full precision and at these bits."""
    claims = shipped()
    checked = 0
    for claim in claims:
        if claim.source not in ("Q-DETR text", "Q-DETR abstract"):
            continue
        metric = "size" if "storage" in claim.metric else "OPs"
        table = {
            c.wbits: c.value
            for c in claims
            if c.source.startswith("Q-DETR (") and (c.model, c.metric) == (claim.model, metric)
        }
        assert claim.rule == f"{table['32']}/{table[claim.wbits]}"
        checked += 1
    assert checked == 8


def test_text_of_a_claim() -> None:
    first, second = shipped()[0], next(c for c in shipped() if c.status == "secondary")
    assert str(first) == "Q-ViT (arXiv 2210.06707) abstract: 6.14x, DeiT-S W4A4"
    assert str(second) == "Q-ViT (arXiv 2210.06707), secondary reviews: about 21x"
    assert (first.number, first.decimals) == (6.14, 2)
    assert (second.number, second.decimals) == (21.0, 0)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        f'\ufeff# mine\nunit,{HEAD.removesuffix(",unit")},note\r\n\nMB,{ROW.removesuffix(",MB")},"so, so"\r\n'
    )
    (claim,) = read(path)
    assert claim == Claim("a paper", "DeiT-S", "4", "4", "size", "11.0", "MB", note="so, so")
    assert (claim.kind, claim.status) == ("undecided", "printed")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "",
            "",
            "must begin with the names of columns, got nothing; source, model, wbits, abits, metric, value, unit are needed",
        ),
        (HEAD, "", "must hold claims, got the names of columns alone; add a row for each figure"),
        (
            "source,model,metric,value\n",
            ":1",
            "columns source, model, wbits, abits, metric, value, unit are needed, got no wbits, abits, unit; add them",
        ),
        (
            f"{HEAD},remarks\n",
            ":1",
            "column: unknown name, got 'remarks'; known, nearest first: reading, rule, abits, source, status, kind, "
            "note, model, value, wbits, metric, convention and 2 more",
        ),
        (f"{HEAD}\n{ROW},more", ":2", "a row must have 7 cells, got 8; quote cells with a comma"),
        (
            f"# x\n\n{HEAD}\n{ROW}\n{ROW[:-2]}",
            ":5",
            f"claim: a figure must have a unit, got none for 11.0; one of {UNIT_NAMES}",
        ),
        (f"{HEAD}\n{ROW[:-2]}Mb", ":2", "unit: unknown name, got 'Mb'; known, nearest first: MB, "),
        (
            f"{HEAD}\n{ROW.replace('11.0', '11 MB')}",
            ":2",
            "claim: value must be a positive number as printed, got '11 MB'; write digits alone, such as 6.14",
        ),
        (f"{HEAD}\n{ROW.replace('11.0', '')}", ":2", "claim: value must be a positive number as printed, got ''; "),
        (
            f"{HEAD}\n{ROW.replace('11.0', '0.0')}",
            ":2",
            "claim: value must be a positive number as printed, got '0.0'; ",
        ),
        (
            f"{HEAD},kind,rule,of\n{ROW},group,macs,resnet18_v1",
            ":2",
            "claim: kind must be group:NAME for one group, got 'group'; as in group:qkv",
        ),
        (
            f"{HEAD},kind,rule,of\n{ROW},total:qkv,macs,resnet18_v1",
            ":2",
            "claim: kind must be group:NAME for one group, got 'total:qkv'; as in group:qkv",
        ),
        (f"{HEAD}\n{ROW.replace('size', 'beauty')}", ":2", "claim: a metric must have one of the words OPs, FLOPs, "),
        (
            f"{HEAD}\n{ROW.replace(',4,4,', ',4,9,')}",
            ":2",
            "claim: bits must be 1..8 or 32, got 9; leave them empty where none are named",
        ),
        (f"{HEAD},status\n{ROW},rumour", ":2", "status: unknown name, got 'rumour'; known, nearest first: "),
        (f"{HEAD},kind\n{ROW},sum", ":2", "kind: unknown name, got 'sum'; known, nearest first: measurement, "),
        (f"{HEAD},reading\n{ROW},guessed", ":2", "reading: unknown name, got 'guessed'; known, nearest first: "),
        (
            f"{HEAD},kind,rule,of\n{ROW},total,macs,resnet18_v1 and more",
            ":2",
            "claim: of must read NAME or NAME at wXaY, got 'resnet18_v1 and more'; name one model",
        ),
        (
            f"{HEAD},kind,rule\n{ROW},total,macs",
            ":2",
            "claim: kind total is decided of a model, got none; name one in the column of",
        ),
        (
            f"{HEAD},kind\n{ROW},arithmetic",
            ":2",
            "claim: kind arithmetic is decided by a rule, got none; name one in the column rule",
        ),
    ],
)
def test_what_is_no_claim(tmp_path: Path, text: str, line: str, message: str) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(text)
    with pytest.raises(BadFile) as error:
        read(path)
    assert str(error.value).startswith(f"{path}{line}: {message}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"cannot be read as claims, got .*No such file.*; name a CSV file"):
        read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="cannot be read as claims"):
        read(tmp_path / "bytes.csv")


def test_a_claim_made_wrong() -> None:
    with pytest.raises(HwsimError, match="a figure must have a unit"):
        replace(shipped()[0], unit="")


def test_the_file_goes_with_the_package() -> None:
    assert SHIPPED.parent == Path(topologies.__file__).parent
