"""Attentions that keep timm's own forward, calibrated by searches of every kind."""

import pytest
import torch
from torch.utils.data import TensorDataset

from qmodels import data, ptq
from qmodels.evidence import trace_model
from qmodels.ptq import weights
from qmodels.verification import verify
from workloads import models as known
from workloads.models import Model

pytestmark = pytest.mark.slow

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}
MODELS = {
    "swinv2": (
        "swinv2_tiny_window8_256",
        {"img_size": 32, "window_size": 2, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16, "num_classes": 5},
    ),
    "eva02": ("eva02_tiny_patch14_224", VIT),
    "relpos": ("vit_relpos_small_patch16_224", VIT),
    "siglip": ("vit_base_patch16_siglip_224", VIT),
}
SEARCH = {"output_search.candidates": "6", "output_search.rounds": "1"}
METHODS = {
    "ptq_mse": {},
    "ptqvit": SEARCH,
    "ptq4vit": SEARCH,
    "repqvit": {},
    "noisyquant": {**SEARCH, "noise.candidates": "4"},
}


@pytest.fixture
def tiny(monkeypatch):
    """`tiny(name)`: images of a small model all of whose weights matter, so that nothing is lost unseen."""
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.zeros(8, dtype=torch.int64)
    twin = weights.twin

    @torch.no_grad()
    def varied(*given):
        model, generator = twin(*given), torch.Generator().manual_seed(1)
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(0.3 * drawn)
            elif name.endswith("weight"):
                parameter.copy_(1 + 0.1 * drawn if parameter.dim() == 1 else drawn / parameter[0].numel() ** 0.5)
        return model

    def make(name):
        timm_name, sizes = MODELS[name]
        model = Model(f"tiny_{name}", timm_name, name, (3, 32, 32), 5, tuple(sizes.items()))
        monkeypatch.setitem(known._MODELS, model.name, model)
        return images

    monkeypatch.setattr(data, "batches", lambda *given: data.Batches(TensorDataset(*images), 8, 8))
    monkeypatch.setattr(weights, "twin", varied)
    return make


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_it_is_exact_and_near_the_float_model(tiny, tmp_path, name, method):
    images, labels = tiny(name)
    outcome = ptq.calibrate(
        f"tiny_{name}_w8a8_{method}", out=tmp_path / "out", images=8, teacher="random", changes=METHODS[method]
    )
    report = verify(outcome.model, trace_model(outcome.model, outcome.workload), images, labels)
    assert report.mismatched("node_by_node") == report.mismatched("free_running") == 0
    assert report.compared("free_running") > 10**4
    with torch.no_grad():
        wanted = weights.twin(outcome.workload, outcome.settings.method, "random")(images)
        error = (outcome.model(images) - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum()
    assert error < 0.05, error
