"""PTQ4ViT: two ranges chosen between, not summed; exact integers; a search that the loss' slope steers."""

import pytest
import torch
import torch.nn.functional as F

from hwsim.cost.units import extra_units
from hwsim.graph import op_name
from hwsim.spec import QuantSpec, ShiftSpec
from qmodels import data, method
from qmodels.quantizers.twin_sign import TwinSign
from qmodels.quantizers.twin_uniform import TwinUniform
from qmodels.quantizers.uniform import Uniform

QUICK = {"output_search.candidates": "30", "output_search.rows": "4"}


@pytest.mark.parametrize("bits", [pytest.param("w8a8", marks=pytest.mark.slow), "w4a4"])
def test_its_integers_are_those_of_its_fake_quant_model(made, graph_of, bits):
    graph = graph_of(made("ptq4vit", bits, changes=QUICK, images=16))
    twins = []
    for node in graph.nodes:
        if op_name(node.op) in ("linear", "matmul", "conv2d"):
            a, b = (graph.specs[operand].quant for operand in node.inputs)
            assert isinstance(b, QuantSpec)
            assert not any(b.zero_point)
            if isinstance(a, ShiftSpec):
                twins.append(node.name)
    assert twins == [f"blocks.{i}.{part}" for i in range(4) for part in ("attn.av", "mlp.fc2")]
    (shifter,) = [unit for unit in extra_units(graph) if unit.name == "conditional shifter"]
    assert 4 < shifter.nodes <= 8  # at 8 bits m may be 0


def test_a_value_is_in_one_range_and_near_it(made):
    """METHODS 6.7: within half a step of its range, where the grid reaches; -5 and 5 have codes of their own."""
    model = made("ptq4vit", "w4a4", changes=QUICK, images=16).model
    for module in model.modules():
        if isinstance(module, TwinUniform):
            spec = module.spec()
            values = torch.tensor(spec.values()[spec.order()]) * spec.scale[0]
            x = torch.linspace(values[0].item(), values[-1].item(), 5001)
            fine, coarse = values.diff().min(), values.diff().max()
            error = (module(x) - x).abs()
            assert error.max() <= coarse / 2 * 1.0001
            assert error[(x > fine / 2) & (x < values[1])].max() <= fine * 0.51 if values[0] == 0 else True
            assert len(module.codes(x).unique()) <= 16
            if isinstance(module, TwinSign):
                low, high = module.codes(torch.tensor([-5.0, 5.0]))
                assert low != high
                assert module(torch.tensor([-5.0]))[0] < 0 < module(torch.tensor([5.0]))[0]


def test_two_ranges_are_nearer_than_one_on_the_outputs_of_gelu_and_softmax(made):
    model = made("ptq4vit", "w4a4", changes=QUICK, images=16).model
    seen, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, TwinUniform):
            handles.append(module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: (m, i[0])})))
    with torch.no_grad():
        model(data.digits("test")[0][:64])
    for handle in handles:
        handle.remove()
    assert len(seen) == 8
    ratios = {}
    for name, (module, x) in seen.items():
        plain = Uniform(4, signed=isinstance(module, TwinSign))
        own = type(module)(4)
        plain.initialise(x)
        own.initialise(x)
        ratios[name] = (F.mse_loss(own(x), x) / F.mse_loss(plain(x), x)).item()
    assert max(ratios.values()) < 0.9, ratios


def test_it_looks_at_the_float_model_alone_and_by_the_slope_of_its_loss():
    (step,) = method.find("ptq4vit").stages[0]
    assert (step.metric, step.stream, step.rounds, step.low, step.high) == ("fisher", "float", 3, 0.01, 1.2)
