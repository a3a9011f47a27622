"""The study of quantizers on a model's own values: which values, which quantizers, and what the errors are."""

import pytest
import torch
from torch import nn

import workloads
from qmodels import method as methods
from qmodels import reconstruction_study as module
from qmodels.ptq import weights
from qmodels.reconstruction_study import RIVALS, Factored, Rival, errors, study

BITS = (3, 8)


@pytest.fixture(scope="module")
def teacher():
    return weights.twin(workloads.find("digits_w4a4"), methods.find("lsq"), None)


@pytest.fixture
def few(monkeypatch):
    plain = {place: tuple(r for r in rivals if r.name == "uniform") for place, rivals in RIVALS.items()}
    monkeypatch.setattr(module, "RIVALS", plain)
    monkeypatch.setattr(module, "BITS", BITS)


def test_every_place_of_the_model_is_seen(teacher, few):
    told = []
    torch.manual_seed(0)
    images = torch.randn(2, 1, 32, 32)
    rows = list(study(teacher, images, "digits_deit", lambda done, total: told.append((done, total))))
    nodes = {place: {r.node for r in rows if r.tag("place") == place} for place in RIVALS}
    assert nodes["softmax"] == {f"blocks.{i}.attn.av" for i in range(4)}
    assert nodes["gelu"] == {f"blocks.{i}.mlp.act" for i in range(4)}
    norms = {f"blocks.{i}.norm{k}" for i in range(4) for k in (1, 2)} | {"norm"}
    assert nodes["layernorm"] == nodes["norm_inputs"] == norms
    layers = {f"blocks.{i}.{name}" for i in range(4) for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert nodes["weights"] == layers | {"patch_embed.proj", "head"}
    assert told == [(i, told[-1][1]) for i in range(1, len(told) + 1)]
    assert len(told) == sum(map(len, nodes.values()))


def test_the_values_are_those_of_the_model(teacher, few):
    """A softmax's error by hand, from its scores."""
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    kept = {}
    hook = teacher.blocks[2].attn.av.register_forward_pre_hook(lambda module, inputs: kept.update(x=inputs[0]))
    rows = list(study(teacher, images, "digits_deit"))
    hook.remove()
    x = kept["x"]
    assert x.shape == (2, 3, 65, 65)
    torch.testing.assert_close(x.sum(-1), torch.ones(2, 3, 65))
    (wanted,) = (
        r.value for r in errors("softmax", "p", x, "m") if r.tag("bits") == "3" and r.tag("quantizer") == "uniform"
    )
    (found,) = (
        r.value for r in rows if (r.node, r.tag("bits"), r.tag("quantizer")) == ("blocks.2.attn.av", "3", "uniform")
    )
    assert found == wanted
    made = Rival("", "uniform").made(x, 3, True)
    made.initialise(x)
    by_hand = float((x - made(x)).square().double().sum() / x.square().double().sum())
    assert found == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("place", RIVALS)
def test_every_rival_fits_and_gets_nearer_with_bits(place):
    torch.manual_seed(2)
    x = {
        "softmax": lambda: torch.randn(2, 3, 20, 20).mul(3).softmax(-1),
        "gelu": lambda: nn.functional.gelu(torch.randn(2, 20, 24) * 2),
        "weights": lambda: torch.randn(24, 12) * torch.rand(24, 1),
    }.get(place, lambda: torch.randn(2, 20, 24) * torch.rand(24).exp())()
    rows = list(errors(place, "p", x, "m", batched=place != "weights"))
    for rival in RIVALS[place]:
        found = {int(r.tag("bits")): r.value for r in rows if r.tag("quantizer") == rival.label}
        assert {3, 4} <= set(found)
        assert all(0 <= error < 1.2 for error in found.values())
        assert found[4] < found[3] or place == "softmax"
    assert all(r.metric == "reconstruction_error" and r.tag("place") == place for r in rows)


def test_finer_grids_are_nearer():
    x = torch.randn(4, 30, 24, generator=torch.Generator().manual_seed(3)) * torch.arange(1.0, 25.0)
    by_label = {r.tag("quantizer"): r.value for r in errors("layernorm", "p", x, "m") if r.tag("bits") == "4"}
    assert by_label["uniform per channel"] < by_label["uniform, 6 groups"] < by_label["uniform"]
    found = {r.tag("quantizer"): r.value for r in errors("norm_inputs", "p", x, "m") if r.tag("bits") == "4"}
    assert found["uniform per channel"] < found["power-of-two factors"]
    factored = Factored(4, axis=-1, size=24)
    factored.initialise(x)
    ratios = (factored.scale / factored.scale.min()).log2()
    assert torch.equal(ratios, ratios.round())
    assert ratios.max() > 0


def test_what_says_nothing_is_not_recorded():
    assert not list(errors("gelu", "p", torch.zeros(2, 3), "m"))
    odd = torch.randn(2, 5, 7)  # 7 channels are no 6 groups
    assert "uniform, 6 groups" not in {r.tag("quantizer") for r in errors("layernorm", "p", odd, "m")}
    assert Rival("", "log2").made(odd, 9, True) is None


def test_few_images_are_enough(teacher, few, monkeypatch):
    """At a small LIMIT only the first image counts."""
    monkeypatch.setattr(module, "LIMIT", 1)
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(4))
    assert list(study(teacher, images, "m")) == list(study(teacher, images[:1], "m"))
