from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qmodels.layers.quant_linear import QuantLinear
from qmodels.ptq.site import Site
from qmodels.quantizer import make
from qmodels.quantizers.lsq import Lsq
from qmodels.quantizers.uniform import Uniform
from qmodels.searches.minmax import MinMax
from qmodels.searches.percentile import Percentile
from qmodels.sources import sources
from qmodels.steps.channelwise import Channelwise
from qmodels.steps.ranges import Ranges
from tests.qmodels.steps.conftest import Look


def test_layers_behind_a_norm_get_a_scale_per_channel_and_no_others(run_stages):
    seen = {}
    run_stages((Channelwise(), Look(lambda unit: seen.update(unit.quantizers)), Ranges(MinMax(), MinMax())), images=4)
    axes = {path: (quantizer.axis, quantizer.scale.numel(), quantizer.bits) for path, quantizer in seen.items()}
    behind = {f"blocks.{i}.{layer}.input_quantizer" for i in range(4) for layer in ("attn.qkv", "mlp.fc1")}
    assert {path for path, (axis, _, _) in axes.items() if axis is not None} == {*behind, "head.input_quantizer"}
    assert all(axes[path] == (-1, 48, 4) for path in behind)
    assert axes["head.input_quantizer"] == (-1, 48, 8)


@pytest.mark.parametrize("bits", ["w4a4", "w3a3"])
def test_each_channel_is_searched_for_itself(run_stages, bits):
    inputs = {}

    def look(unit):
        if unit.name == "blocks.0":
            inputs["x"] = unit.captured("blocks.0.attn.qkv", "quantized").inputs[0]

    search = Percentile()
    model = run_stages((Channelwise(), Look(look), Ranges(search, search)), bits=bits).model
    found = model.blocks[0].attn.qkv.input_quantizer
    for channel in (0, 7, 47):
        alone = Uniform(int(bits[-1]))
        search(inputs["x"][..., channel], alone)
        assert torch.equal(found.scale[channel], alone.scale[0])
        assert torch.equal(found.zero_point[channel], alone.zero_point[0])


class TwoReaders(nn.Module):
    """Two layers read one LayerNorm, a third has its own."""

    def __init__(self):
        super().__init__()
        self.norm, self.own = nn.LayerNorm(6), nn.LayerNorm(6)
        self.a, self.b, self.c = (QuantLinear(nn.Linear(6, 6), Uniform(4), nn.Identity()) for _ in range(3))

    def forward(self, x):
        y = self.norm(x)
        return self.c(self.own(self.a(y) + self.b(y)))


def test_a_layer_that_shares_its_norm_keeps_one_scale():
    model = TwoReaders()
    sites = tuple(Site(path, model.get_submodule(path)) for path in "abc")
    Channelwise().run(SimpleNamespace(sites=sites, sources=sources(model, (3, 4, 6)), model=model))
    assert [site.module.input_quantizer.axis for site in sites] == [None, None, -1]


def test_only_uniform_grids_are_replaced():
    model = TwoReaders()
    model.c.input_quantizer = make("lsq", 4, signed=True)
    Channelwise().run(SimpleNamespace(sites=(Site("c", model.c),), sources=sources(model, (3, 4, 6)), model=model))
    assert (type(model.c.input_quantizer), model.c.input_quantizer.axis) == (Lsq, None)
