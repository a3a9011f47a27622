"""Tables of layers against what their sources print, and against PyTorch."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from hwsim.errors import UnknownName
from workloads import topologies


def _macs(name: str) -> int:
    total = 0
    for layer in topologies.find(name).layers:
        each = layer.channels // layer.groups * layer.features * layer.kernel[0] * layer.kernel[1]
        if layer.size is None:
            total += each
            continue
        out = [
            (s + 2 * p - k) // layer.stride + 1 for s, p, k in zip(layer.size, layer.padding, layer.kernel, strict=True)
        ]
        total += each * out[0] * out[1]
    return total


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("cnv_w2a2", 59_461_376),  # printed in qonnx, tests/analysis/test_inference_cost.py
        ("tfc_w2a2", 59_008),
        ("radioml_vgg10", 12_864_512),
        ("resnet18_partly_int8", 1_814_073_344),  # printed in qonnx, tests/transformation/test_quantize_graph.py
        ("resnet18_v1", 1_814_073_344),
        ("mlp_16_64_32_32_5", 16 * 64 + 64 * 32 + 32 * 32 + 32 * 5),
    ],
)
def test_macs_as_printed(name: str, macs: int) -> None:
    assert _macs(name) == macs


def test_reactnet_as_printed() -> None:
    """4.82e9 binary MACs and 0.12e8 others (arXiv 2003.03488, table 1)."""
    layers = topologies.find("reactnet_a").layers
    real = [layer for layer in layers if layer.bits == (32, 32)]
    assert [layer.name for layer in real] == ["stem", "fc"]
    others = 112 * 112 * 27 * 32 + 1024 * 1000
    assert round(others / 1e8, 2) == 0.12
    assert round((_macs("reactnet_a") - others) / 1e9, 2) == 4.82


@pytest.fixture
def meta() -> Callable[[str], Any]:
    """Makes a model of timm without weights."""
    torch = pytest.importorskip("torch")
    from qmodels import models

    def create(name: str) -> Any:
        with torch.device("meta"):
            return models.timm.create_model(name).eval()

    return create


@pytest.mark.parametrize(("name", "timm"), [("resnet18_v1", "resnet18"), ("resnet50_v1", "resnet50")])
def test_resnets_are_those_of_timm(meta: Callable[[str], Any], name: str, timm: str) -> None:
    """Weights layer by layer; timm's ResNet-50 strides in the 3 x 3 convolution, which weights do not show."""
    theirs = sorted(p.numel() for p in meta(timm).parameters() if p.ndim > 1)
    ours = [layer.channels * layer.features * math.prod(layer.kernel) for layer in topologies.find(name).layers]
    assert sorted(ours) == theirs


def test_resnet18_counts_as_pytorch_counts(meta: Callable[[str], Any]) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        meta("resnet18")(torch.empty(1, 3, 224, 224))
    assert counter.get_total_flops() == 2 * _macs("resnet18_v1")


def test_hawq_widths() -> None:
    four = {
        n: sum(layer.bits == (4, 4) for layer in topologies.find(n).layers)
        for n in ("resnet18_bops05", "resnet50_bops05")
    }
    assert four == {"resnet18_bops05": 9, "resnet50_bops05": 19}
    assert all(layer.bits in ((4, 4), (8, 8)) for layer in topologies.find("resnet50_bops05").layers)


@pytest.mark.parametrize("name", topologies.names())
def test_layers(name: str) -> None:
    topology = topologies.find(name)
    names = [layer.name for layer in topology.layers]
    assert topology.name == name
    assert topology.source
    assert len(set(names)) == len(names)
    assert [layer.end for layer in topology.layers].count("head") == 1
    assert topology.layers[-1].end == "head"


def test_an_unknown_one() -> None:
    with pytest.raises(UnknownName, match="topology: unknown name, got 'resnet34'; known, nearest first: resnet"):
        topologies.find("resnet34")
