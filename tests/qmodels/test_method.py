"""Methods, their presets, and their switches as texts."""

from pathlib import Path

import pytest

from hwsim import catalog
from hwsim.errors import HwsimError, UnknownName
from qmodels import method
from qmodels.method import Slot


@pytest.mark.parametrize("name", method.names())
def test_every_name_finds_a_method_of_that_name_and_its_page(name):
    found = method.find(name)
    assert found.name == name
    assert name == (found.name if found.preset == "deployable" else f"{name.rpartition('_')[0]}_{found.preset}")
    assert method.difference(found) == {}


def test_presets_have_names_of_their_own():
    assert {"qvit", "qvit_paper", "qvit_released"} <= set(method.names())
    assert method.find("qvit", "released") == method.find("qvit_released")
    assert method.find("qvit", "deployable") == method.find("qvit") == catalog.find("qmodels.methods", "qvit")
    assert method.find("lsq").preset == "deployable"


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("qvt", "deployable", "method: unknown name, got 'qvt'; known, nearest first: qvit, "),
        ("qvit_printed", "deployable", "method: unknown name, got 'qvit_printed'; known, nearest first: qvit"),
        ("qvt", "paper", "method: unknown name, got 'qvt'; known, nearest first: qvit, "),
        ("lsq", "paper", "preset of lsq: unknown name, got 'paper'; known, nearest first: deployable"),
    ],
)
def test_unknown_names(name, preset, message):
    with pytest.raises(UnknownName) as caught:
        method.find(name, preset)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", method.names())
def test_a_method_is_its_name_and_the_texts_of_what_was_changed(name):
    texts = {
        "irm": "affine", "dgd": "0.25", "crops": "4", "per_head": "false", "gelu": "lsq:unsigned", "inputs": "lsq:signed",
        "gelu_clip": "10", "scale_gradient": "module", "labels": "0",
    }  # fmt: skip
    changed = method.changed(method.find(name), texts)
    assert (changed.irm, changed.dgd, changed.crops, changed.per_head, changed.labels) == ("affine", 0.25, 4, False, 0)
    assert (changed.gelu, changed.inputs) == (Slot("lsq", signed=False), Slot("lsq", signed=True))
    assert method.changed(method.find(name), method.difference(changed)) == changed
    assert method.changed(changed, {"gelu": "none"}).gelu is None


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("irn", "none", "switch: unknown name, got 'irn'; known, nearest first: irm, "),
        ("name", "x", "switch: unknown name, got 'name'; known, nearest first: "),
        ("irm", "per_head", "qvit: irm must be one of none, layernorm, affine, frozen, got per_head; choose one"),
        ("per_head", "yes", "qvit: per_head must be true or false, got yes; choose one"),
        ("dgd", "much", "qvit: dgd must be a number, got much; 0 switches it off"),
        ("dgd", "-1", "qvit: dgd must be 0 or more, got -1.0; 0 switches it off"),
        ("bins", "nan", "qvit: bins must be 0 or more, got nan; 0 switches it off"),
        ("crops", "1.5", "qvit: crops must be a whole number, got 1.5; 0 switches it off"),
        ("qkv", "lsq", "qvit: qkv must be QUANTIZER:signed or QUANTIZER:unsigned, got lsq; as in lsq:signed"),
        ("qkv", "none", "qvit: qkv must be QUANTIZER:signed or QUANTIZER:unsigned, got none; as in lsq:signed"),
        ("qkv", "lsqq:signed", "quantizer: unknown name, got 'lsqq'; known, nearest first: lsq, "),
    ],
)
def test_bad_changes(key, text, message):
    with pytest.raises(HwsimError) as caught:
        method.changed(method.find("qvit"), {key: text})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", method.names())
def test_pages_of_deviations_exist(name):
    page = method.find(name).deviations
    assert not page or (Path(method.__file__).parents[1] / "docs" / page).is_file()


def test_a_preset_of_a_preset_is_refused():
    assert method.find("qvit_paper", "paper") == method.find("qvit", "paper")
    with pytest.raises(
        HwsimError, match=r"^qvit_paper: is the preset paper of qvit, got released besides; leave one out$"
    ):
        method.find("qvit_paper", "released")
