import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hwsim.errors import HwsimError
from qmodels import data
from qmodels.layers.quant_linear import QuantLinear
from qmodels.ptq.partial import passing
from qmodels.ptq.site import Site
from qmodels.quantizer import Quantizer
from qmodels.quantizers.uniform import Uniform
from qmodels.searches.minmax import MinMax
from qmodels.searches.percentile import Percentile
from qmodels.sources import Source
from qmodels.steps.channelwise import Channelwise
from qmodels.steps.ranges import Ranges
from qmodels.steps.reparametrize import Reparametrize
from tests.qmodels.steps.conftest import Look


def codes_of(model, images):
    """The codes of all activation quantizers in use, and the output."""
    codes, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, Quantizer) and module.calibrated:
            handles.append(module.register_forward_hook(lambda m, i, o, name=name: codes.update({name: m.codes(i[0])})))
    with torch.no_grad(), passing(model):
        output = model(images)
    for handle in handles:
        handle.remove()
    return codes, output


@pytest.mark.parametrize("bits", ["w4a4", "w3a3"])
def test_codes_and_output_are_those_of_scales_per_channel(run_stages, bits):
    """METHODS' property: with float weights, in float64, nothing changes but for ties."""
    units, search = [], Percentile()
    found = {}

    def look(unit):
        units.append(unit)
        if len(units) == 1:  # all units are calibrated, none is reparametrized
            found["model"] = copy.deepcopy(unit.model).double()
        if unit.name != "head":
            return
        images = data.digits("test")[0][:16].double()
        model = found["model"]
        found["channelwise"] = codes_of(model, images)
        for each in units:
            Reparametrize().run(dataclasses.replace(each, model=model))
        found["per tensor"] = codes_of(model, images)
        found["quantizers"] = [m for m in model.modules() if isinstance(m, Uniform)]

    run_stages((Channelwise(), Ranges(search)), (Look(look), Reparametrize(), Ranges(None, search)), bits=bits)
    (before, expected), (after, output) = found["channelwise"], found["per tensor"]
    assert before.keys() == after.keys()
    assert len(before) == 34
    assert all(torch.equal(before[name], after[name]) for name in before)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-9)
    assert all(m.axis is None for m in found["quantizers"] if m.batched)
    assert all(m.zero_point.item() in range(m.qmin, m.qmax + 1) for m in found["quantizers"] if m.batched)


def layer_behind_a_norm(signed=False, bias=True):
    """A LayerNorm of six channels and a layer with a scale per channel, in float64."""
    norm = nn.LayerNorm(6)
    nn.init.uniform_(norm.weight, 0.1, 3)
    nn.init.normal_(norm.bias)
    quantizer = Uniform(4, signed=signed, axis=-1, size=6)
    layer = QuantLinear(nn.Linear(6, 5, bias=bias), quantizer, Uniform(4, axis=0, size=5, batched=False))
    model = nn.ModuleDict({"norm": norm, "layer": layer}).double().requires_grad_(False)
    MinMax()(norm(torch.randn(50, 6, dtype=torch.float64)), quantizer)
    return model


def unit_of(model, norm="norm"):
    return SimpleNamespace(
        sites=(Site("layer", model["layer"]),), sources={"layer.input_quantizer": Source(2, norm)}, model=model
    )


def output_of(model, x):
    with passing(model):
        return model["layer"](model["norm"](x))


@pytest.mark.parametrize("signed", [True, False])
def test_it_is_the_mean_scale_and_the_rounded_mean_zero_point(signed):
    model, x = layer_behind_a_norm(signed), torch.randn(20, 6, dtype=torch.float64)
    old, weight, gain = (
        copy.deepcopy(part) for part in (model["layer"].input_quantizer, model["layer"].weight, model["norm"].weight)
    )
    expected = output_of(model, x)
    Reparametrize().run(unit_of(model))
    new = model["layer"].input_quantizer
    assert (new.axis, new.scale.item(), new.qmin) == (None, pytest.approx(old.scale.mean().item()), old.qmin)
    assert new.zero_point.item() == round(old.zero_point.mean().item())
    torch.testing.assert_close(model["layer"].weight, weight * old.scale / new.scale)
    torch.testing.assert_close(model["norm"].weight, gain * new.scale / old.scale)
    torch.testing.assert_close(output_of(model, x), expected, rtol=0, atol=1e-12)


def test_a_channel_that_is_always_zero_moves_nothing():
    model, x = layer_behind_a_norm(), torch.randn(20, 6, dtype=torch.float64)
    with torch.no_grad():
        model["norm"].weight[2] = model["norm"].bias[2] = 0
        MinMax()(model["norm"](x), model["layer"].input_quantizer)
        assert model["layer"].input_quantizer.scale[2] == 1  # what a search says of no range
        model["layer"].input_quantizer.scale[2] = 1e6
        others = model["layer"].input_quantizer.scale[[0, 1, 3, 4, 5]].mean()
        column, expected = model["layer"].weight[:, 2].clone(), output_of(model, x)
    Reparametrize().run(unit_of(model))
    assert model["layer"].input_quantizer.scale.item() == pytest.approx(others.item())
    torch.testing.assert_close(model["layer"].weight[:, 2], column)
    torch.testing.assert_close(output_of(model, x), expected, rtol=0, atol=1e-12)


def test_a_norm_that_gives_nothing_but_zeros_is_left_so():
    model, x = layer_behind_a_norm(), torch.randn(20, 6, dtype=torch.float64)
    with torch.no_grad():
        model["norm"].weight.zero_()
        model["norm"].bias.zero_()
    MinMax()(model["norm"](x), model["layer"].input_quantizer)
    Reparametrize().run(unit_of(model))
    assert torch.equal(output_of(model, x), model["layer"].bias.expand(20, 5))
    assert model["layer"].input_quantizer.scale.item() == 1


def test_what_cannot_be_is_said_in_a_line():
    for model, norm, line in (
        (layer_behind_a_norm(), "", "be fed by a LayerNorm that feeds nothing else, got none; use one scale"),
        (layer_behind_a_norm(bias=False), "norm", "have a bias, got none; set biases=true"),
    ):
        with pytest.raises(HwsimError, match=f"^layer: a layer with a scale per input channel must {line}$"):
            Reparametrize().run(unit_of(model, norm))
    model = layer_behind_a_norm()
    model["layer"].weight_quantizer.initialise(model["layer"].weight)
    line = "have float weights, got quantized ones; quantize weights afterwards"
    with pytest.raises(HwsimError, match=f"^layer: a layer with a scale per input channel must {line}$"):
        Reparametrize().run(unit_of(model))
