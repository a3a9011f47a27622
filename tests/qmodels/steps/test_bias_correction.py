"""Bias correction: what is left of the mean error on the calibration images, measured on whole models."""

import pytest
import torch
import torch.nn.functional as F

from hwsim.errors import HwsimError
from qmodels import data
from qmodels.layers.quant_conv2d import QuantConv2d
from qmodels.layers.quant_linear import QuantLinear
from qmodels.ptq import images as chosen_images
from qmodels.ptq import weights
from qmodels.searches.minmax import MinMax
from qmodels.steps.bias_correction import BiasCorrection, mean
from qmodels.steps.ranges import Ranges
from tests.qmodels.steps.conftest import Look

GRIDS = Ranges(MinMax(), MinMax())


def means_of(model, images):
    """The mean output of each unit of each layer, float64, by hooks on the whole model."""
    found, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, QuantLinear | QuantConv2d):
            axis = 1 if isinstance(module, QuantConv2d) else -1
            handles.append(
                module.register_forward_hook(
                    lambda m, i, o, name=name, axis=axis: found.update(
                        {name: o.double().movedim(axis, 0).flatten(1).mean(1)}
                    )
                )
            )
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("images", [8, 20])
def test_afterwards_mean_outputs_are_those_of_the_float_model(run_stages, images):
    apart = {}
    for steps in ((GRIDS,), (GRIDS, BiasCorrection(own=False))):
        outcome = run_stages(steps, images=images, batch=8)
        chosen = chosen_images.choose(data.batches(outcome.workload, "train"), outcome.settings)
        seen = torch.cat(list(chosen))
        teacher = weights.twin(outcome.workload, outcome.settings.method, None)
        got, wanted = means_of(outcome.model, seen), means_of(teacher, seen)
        apart[steps] = {name: (got[name] - wanted[name]).abs().max().item() for name in got}
    before, after = apart.values()
    assert len(after) == 18
    assert max(after.values()) < 1e-6, max(after.items(), key=lambda item: item[1])
    assert min(before.values()) > 1e-4


def test_a_layer_s_own_mean_error_is_taken_off(run_stages):
    """What the layer gives, against the float product of what it gets, by the functions of torch."""
    for steps, least, most in (((GRIDS,), 1e-5, 1), ((GRIDS, BiasCorrection()), 0, 1e-6)):
        outcome = run_stages(steps, images=12, batch=8)
        images = torch.cat(list(chosen_images.choose(data.batches(outcome.workload, "train"), outcome.settings)))
        teacher = weights.twin(outcome.workload, outcome.settings.method, None)
        seen, handles = {}, []
        for name in ("patch_embed.proj", "blocks.1.attn.qkv", "blocks.2.mlp.fc2", "head"):
            layer = outcome.model.get_submodule(name)
            handles.append(
                layer.register_forward_hook(lambda m, i, o, seen=seen, name=name: seen.update({name: (m, i[0], o)}))
            )
        with torch.no_grad():
            outcome.model(images)
            for name, (layer, x, got) in seen.items():
                bias = teacher.get_submodule(name).bias
                conv = isinstance(layer, QuantConv2d)
                wanted = F.conv2d(x, layer.weight, bias, layer.stride) if conv else F.linear(x, layer.weight, bias)
                error = (got - wanted).double().movedim(1 if conv else -1, 0).flatten(1).mean(1).abs().max().item()
                assert least <= error < most, name


def test_a_layer_without_a_bias_is_named(run_stages):
    def without(unit):
        if unit.name == "blocks.1":
            unit.model.blocks[1].attn.qkv.bias = None

    with pytest.raises(
        HwsimError, match=r"^blocks\.1\.attn\.qkv: must have a bias to be corrected, got none; pass --set"
    ):
        run_stages((GRIDS, Look(without), BiasCorrection()))


def test_means_are_of_all_batches():
    parts = torch.randn(7, 3, 4).split(3)
    assert torch.allclose(mean(parts, -1), torch.cat(parts).double().mean((0, 1)))
    assert torch.allclose(mean(parts, 1), torch.cat(parts).double().mean((0, 2)))
