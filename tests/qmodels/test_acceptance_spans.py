"""How a LayerNorm's gains and the weights behind share a factor does not matter to reparametrization, in float64 exactly.

`tests/qmodels/methods/test_repqvit.py` has float32, where near ties and near rivals among grids fall otherwise, and what
becomes of methods with one scale per tensor.
"""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from qmodels import data, ptq
from qmodels.layers.quant_linear import QuantLinear
from qmodels.methods.repqvit import REPQVIT
from qmodels.ptq import weights
from qmodels.ptq.partial import passing
from qmodels.ptq.site import Site
from qmodels.quantizers.uniform import Uniform
from qmodels.sources import Source
from qmodels.steps.reparametrize import Reparametrize

SPANS = (1, 33, 300)
BITS = (8, 6, 4, 3)
SEARCH = REPQVIT.stages[0][1].activations


def spread(norm, layer, span, draw):
    """The same function: gains and offsets times a constant per channel, log-uniform over `span`, the weights over it."""
    size = norm.weight.shape
    factor = torch.exp((torch.rand(size, generator=draw, dtype=norm.weight.dtype) - 0.5) * math.log(span))
    with torch.no_grad():
        norm.weight *= factor
        norm.bias *= factor
        layer.weight /= factor


def calibrated(model, x):
    """A scale per channel, reparametrized, then quantized weights: what RepQ-ViT does to one layer."""
    norm, layer = model["norm"], model["layer"]
    SEARCH(norm(x), layer.input_quantizer)
    site, source = Site("layer", layer), Source(2, "norm")
    Reparametrize().run(SimpleNamespace(sites=(site,), sources={"layer.input_quantizer": source}, model=model))
    SEARCH(layer.weight, layer.weight_quantizer)
    with torch.no_grad(), passing(model):
        return layer.input_quantizer.codes(norm(x)), layer.weight_quantizer.codes(layer.weight), layer(norm(x))


@pytest.mark.parametrize("bits", BITS)
def test_a_layer_is_what_it_was(bits):
    quantizers = Uniform(bits, axis=-1, size=24), Uniform(bits, axis=0, size=40, batched=False)
    norm, x = nn.LayerNorm(24), torch.randn(200, 24, dtype=torch.float64)
    nn.init.uniform_(norm.weight, 0.2, 3)
    nn.init.normal_(norm.bias)
    plain = nn.ModuleDict({"norm": norm, "layer": QuantLinear(nn.Linear(24, 40), *quantizers)}).double()
    plain.requires_grad_(False)
    wanted, found = F.linear(norm(x), plain["layer"].weight, plain["layer"].bias), {}
    for span in SPANS:
        model = copy.deepcopy(plain)
        spread(model["norm"], model["layer"], span, torch.Generator().manual_seed(0))
        found[span] = calibrated(model, x)
        assert 0 < (found[span][2] - wanted).abs().max() < 12 / 2**bits
    for span in SPANS[1:]:
        for before, after in zip(found[1][:2], found[span][:2], strict=True):
            assert torch.equal(before, after)
        torch.testing.assert_close(found[span][2], found[1][2], rtol=0, atol=1e-12)


@pytest.fixture
def in_float64(monkeypatch):
    """Calibrations run in float64; `in_float64(33)` gives them the teacher of that span."""
    twin, student = weights.twin, weights.student

    def wide(workload, method, master, widths):
        model = student(workload, method, master, widths).double()
        if master is not None:
            model.load_state_dict(master.state_dict(), strict=False)
        return model

    def of_span(span):
        def teacher(*given):
            model, draw = twin(*given).double(), torch.Generator().manual_seed(0)
            for block in model.blocks:
                spread(block.norm1, block.attn.qkv, span, draw)
                spread(block.norm2, block.mlp.fc1, span, draw)
            return model

        monkeypatch.setattr(weights, "twin", teacher)

    monkeypatch.setattr(weights, "student", wide)
    images, labels = data.digits("train")
    wide_images = data.Batches(TensorDataset(images.double(), labels), len(images), 32)
    monkeypatch.setattr(data, "batches", lambda *given: wide_images)
    return of_span


@pytest.mark.slow
@pytest.mark.parametrize("bits", BITS)
def test_a_model_is_what_it_was(in_float64, tmp_path, bits):
    images, found = data.digits("test")[0][:60].double(), {}
    for span in SPANS:
        in_float64(span)
        model = ptq.calibrate(f"digits_deit_w{bits}a{bits}", method="repqvit", out=tmp_path / "out").model
        layers = [m for m in model.modules() if isinstance(getattr(m, "weight_quantizer", None), Uniform)]
        with torch.no_grad():
            codes = torch.cat([layer.weight_quantizer.codes(layer.weight).flatten() for layer in layers])
            found[span] = codes, model(images)
    assert len(found[1][0]) > 10**5
    for span in SPANS[1:]:
        assert torch.equal(found[span][0], found[1][0])
        torch.testing.assert_close(found[span][1], found[1][1], rtol=0, atol=1e-9)
