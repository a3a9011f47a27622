"""NoisyQuant: exact integers with noise on both sides of a layer, in its three presets and on PTQ4ViT."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from hwsim.graph import op_name
from hwsim.spec import QuantSpec
from qmodels import builder, data, method, ptq
from qmodels.quantizers.noisy import Noisy
from qmodels.tracing import trace
from qmodels.verification import verify
from workloads import models as known
from workloads.models import Model

QUICK = {
    "output_search.candidates": "30", "output_search.rows": "4", "output_search.rounds": "3", "noise.rows": "4",
    "noise.candidates": "20",
}  # fmt: skip
OUTPUT = {key: text for key, text in QUICK.items() if key.startswith("output")}
RELEASED = {**QUICK, "noise.means": "40"}


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("noisyquant", "w3a3"),
        pytest.param("noisyquant", "w6a6", marks=pytest.mark.slow),
        pytest.param("noisyquant_released", "w4a4", marks=pytest.mark.slow),
        pytest.param("noisyquant_ptq4vit", "w4a4", marks=pytest.mark.slow),
    ],
)
def test_its_integers_are_those_of_its_fake_quant_model(made, graph_of, name, bits):
    outcome = made(name, bits, changes=RELEASED if name.endswith("released") else QUICK, images=16)
    graph = graph_of(outcome)
    noisy = {n: m for n, m in outcome.model.named_modules() if isinstance(m, Noisy)}
    left = {n.removesuffix("_quantizer") for n, m in noisy.items() if m.offset.any()}
    added = {
        n.name.removesuffix("_quantizer.add") for n in graph.nodes if op_name(n.op) == "add" and "_quantizer." in n.name
    }
    assert added == left
    assert {name.split(".")[-2] for name in left} <= {"proj", "fc2"}  # the others are in LayerNorms
    for node in graph.nodes:
        if op_name(node.op) in ("linear", "matmul", "conv2d"):
            specs = [graph.specs[operand].quant for operand in node.inputs]
            assert all(spec is not None for spec in specs), node.name
            assert not any(any(spec.zero_point) for spec in specs if isinstance(spec, QuantSpec))


def test_noise_went_into_the_layer_norms(made):
    model = made("noisyquant", "w3a3", changes=QUICK, images=16).model
    norms = {name: module.bias for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    plain = builder.build("digits_float")
    moved = {name for name, bias in norms.items() if not torch.equal(bias, plain.get_submodule(name).bias)}
    assert len(norms) == 9
    assert len(moved) >= 6


def test_presets_differ_in_noise_alone():
    found = {preset: method.find("noisyquant", preset) for preset in ("deployable", "paper", "released")}
    noise = {preset: m.stages[0][1] for preset, m in found.items()}
    assert noise["deployable"] == noise["paper"]
    assert (noise["paper"].shape, noise["paper"].means) == ("uniform", 0)
    assert (noise["released"].shape, noise["released"].means) == ("normal", 400)
    assert len({m.stages[0][0] for m in found.values()}) == 1
    assert all(m.deviations == "methods/noisyquant.md" for m in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ptqvit", "noisyquant_ptq4vit"])
def test_a_swin_is_no_exception(name, monkeypatch, tmp_path):
    """Windows and mergings, four windows an image: random weights, so that integers are all there is to say."""
    sizes = {"img_size": 32, "window_size": 2, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16, "num_classes": 5}
    swin = Model("tiny_swin", "swin_tiny_patch4_window7_224", "Swin", (3, 32, 32), 5, tuple(sizes.items()))
    monkeypatch.setitem(known._MODELS, swin.name, swin)
    images, labels = torch.randn(16, 3, 32, 32), torch.zeros(16, dtype=torch.int64)
    monkeypatch.setattr(data, "batches", lambda *given: data.Batches(TensorDataset(images, labels), 16, 16))
    outcome = ptq.calibrate(
        "tiny_swin_w4a4",
        method=name,
        changes=QUICK if "noisy" in name else OUTPUT,
        images=16,
        out=tmp_path / "out",
        teacher="random",
    )
    report = verify(outcome.model, trace(outcome.model, images[:2], "swin"), images, labels)
    assert report.mismatched("node_by_node") == report.mismatched("free_running") == 0
    assert report.compared("free_running") > 10**5
