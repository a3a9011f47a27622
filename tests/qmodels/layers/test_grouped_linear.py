"""A layer of groups of channels: what it computes, what it becomes, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.cost.groups import group_of, role_of
from hwsim.errors import HwsimError, IllegalModel
from hwsim.graph import op_name
from qmodels import models
from qmodels.layers.grouped_linear import ChannelGroups, GroupedLinear, sizes
from qmodels.method import changed, find
from qmodels.quantizer import make
from qmodels.tracing import trace
from workloads.bits import Bits

PEG = find("peg")


def layer(channels=10, groups=3, quantizer="uniform"):
    quantizers = [make(quantizer, 4, signed=False, channels=n) for n in sizes(channels, groups)]
    weights = make("uniform", 4, signed=True, axis=0, size=6, batched=False)
    made = GroupedLinear(nn.Linear(channels, 6), ChannelGroups(quantizers, channels), weights)
    weights.initialise(made.weight)
    x = torch.randn(5, 7, channels) * torch.logspace(-2, 2, channels)
    for own, part in zip(made.input_quantizer, x.split(sizes(channels, groups), -1), strict=True):
        own.initialise(part)
    return made.eval(), x


def test_groups_are_as_even_as_can_be():
    assert sizes(48, 6) == [8] * 6
    assert sizes(10, 3) == [4, 3, 3]
    assert sizes(4, 1) == [4]


def test_it_is_the_sum_of_partial_products_each_with_its_own_grid():
    made, x = layer()
    parts = made.input_quantizer.parts(x)
    assert [part.shape[-1] for part in parts] == [4, 3, 3]
    scales = torch.stack([quantizer.scale for quantizer in made.input_quantizer])
    assert scales.unique().numel() == 3
    whole = made.input_quantizer(x)
    assert torch.equal(whole, torch.cat(parts, -1))
    wanted = F.linear(whole, made.weight_quantizer(made.weight), made.bias)
    torch.testing.assert_close(made(x), wanted, rtol=1e-5, atol=1e-5)


def test_noise_of_each_group_is_taken_off_again():
    made, x = layer(quantizer="noisy")
    before = made(x)
    for quantizer in made.input_quantizer:
        quantizer.bits, quantizer.qmax = 8, 2**40  # so fine that nothing is rounded
        quantizer.scale.fill_(1e-6)
        quantizer.zero_point.fill_(2.0**35)
        quantizer.set_noise(torch.rand(quantizer.offset.shape))
    exact = F.linear(x, made.weight_quantizer(made.weight), made.bias)
    torch.testing.assert_close(made.double()(x.double()), exact.double(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, exact, atol=1e-2)


def test_layers_behind_norms_get_groups_and_no_others():
    model = models.quantize(models.create("digits_deit"), Bits(4, 4), PEG)
    grouped = {name for name, module in model.named_modules() if isinstance(module, GroupedLinear)}
    assert grouped == {f"blocks.{i}.{layer}" for i in range(4) for layer in ("attn.qkv", "mlp.fc1")}
    assert all(len(model.get_submodule(name).input_quantizer) == 6 for name in grouped)
    swin = {"img_size": 32, "window_size": 2, "depths": (1, 1), "num_heads": (2, 4), "embed_dim": 16, "num_classes": 5}
    model = models.quantize(models.create("swin_tiny_patch4_window7_224", **swin), Bits(4, 4), PEG, image=(3, 32, 32))
    assert sum(isinstance(module, GroupedLinear) for module in model.modules()) == 4


def test_float_activations_have_none():
    model = models.quantize(models.create("digits_deit"), Bits(32, 32), PEG)
    assert not any(isinstance(module, GroupedLinear) for module in model.modules())


def test_it_is_traced_to_a_product_per_group_and_counted_as_one_layer():
    model = models.quantize(models.create("digits_deit"), Bits(4, 4), PEG)
    for quantizer in (m for m in model.modules() if isinstance(m, torch.nn.Module) and hasattr(m, "calibrated")):
        quantizer.calibrated = True
    graph = trace(model, torch.zeros(2, 1, 32, 32))
    mine = {node.name: node for node in graph.nodes if node.name.startswith("blocks.0.mlp.fc1")}
    products = [name for name, node in mine.items() if op_name(node.op) == "linear"]
    assert products == ["blocks.0.mlp.fc1", *(f"blocks.0.mlp.fc1_{k}" for k in range(1, 6))]
    assert {group_of(name, mine[name].op) for name in products} == {"fc1"}
    adds = [node for node in mine.values() if op_name(node.op) == "add" and ".bias" not in node.name]
    assert len(adds) == 5
    assert {role_of(node.name, node.op, graph.inputs_of(node)) for node in adds} == {"add"}  # no residual sums
    macs = sum(mine[name].op.gemm(graph.inputs_of(mine[name]), graph.specs[name]).macs for name in products)
    assert macs == 65 * 48 * 192


def test_bad_numbers_of_groups():
    with pytest.raises(HwsimError, match="peg: groups must be 0 or more, got -1; 0 switches it off"):
        changed(PEG, {"groups": "-1"})
    with pytest.raises(
        IllegalModel, match=r"blocks\.0\.attn\.qkv: groups must be at most 48 channels, got 49; lower it"
    ):
        models.quantize(models.create("digits_deit"), Bits(4, 4), changed(PEG, {"groups": "49"}))
