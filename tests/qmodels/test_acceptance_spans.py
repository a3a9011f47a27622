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

from qmodels.layers.quant_linear import QuantLinear
from qmodels.methods.repqvit import REPQVIT
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
