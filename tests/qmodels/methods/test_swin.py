"""Windows, shifts and mergings: random weights, so that integers are all there is to say."""

import pytest
import torch
from torch.utils.data import TensorDataset

from hwsim.lower import integerize
from hwsim.lower.ranges import measure
from hwsim.lower.report import float_parts
from qmodels import data, ptq
from qmodels.evidence import trace_model
from qmodels.tracing import INPUT
from qmodels.verification import verify
from workloads import models as known
from workloads.models import Model

pytestmark = pytest.mark.slow

SIZES = {"img_size": 32, "window_size": 2, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16, "num_classes": 5}


@pytest.fixture
def swin(monkeypatch):
    """A Swin of two stages and its images."""
    model = Model("tiny_swin", "swin_tiny_patch4_window7_224", "Swin", (3, 32, 32), 5, tuple(SIZES.items()))
    monkeypatch.setitem(known._MODELS, model.name, model)
    images, labels = torch.randn(16, 3, 32, 32), torch.zeros(16, dtype=torch.int64)
    monkeypatch.setattr(data, "batches", lambda *given: data.Batches(TensorDataset(images, labels), 16, 16))
    return images, labels


@pytest.mark.parametrize(
    ("method", "recipe"), [("ptq_mse", "lut"), ("fqvit", "fqvit"), ("p2vit", "p2vit"), ("peg", "lut")]
)
def test_a_swin_is_no_exception(swin, tmp_path, method, recipe):
    images, labels = swin
    outcome = ptq.calibrate(
        f"tiny_swin_w4a4_{method}",
        out=tmp_path / "out",
        images=16,
        teacher="random",
        changes={"groups": "3"} if method == "peg" else {},
    )
    graph = trace_model(outcome.model, outcome.workload)
    report = verify(outcome.model, graph, images, labels)
    assert report.mismatched("node_by_node") == report.mismatched("free_running") == 0
    assert report.compared("free_running") > 10**5
    integers = integerize(graph, recipe, measure(graph, {INPUT: images.numpy()}))
    assert float_parts(integers) == ()
