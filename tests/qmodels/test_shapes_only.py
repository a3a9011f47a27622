"""A model on the meta device traces to the graph that its real twin has, without numbers and without their memory."""

import numpy as np
import pytest
import torch
from torch import nn

import workloads
from hwsim.cost.work import work
from hwsim.errors import IllegalModel
from qmodels import builder, evidence, models
from qmodels.tracing import need_quantized, trace
from workloads.bits import Bits


def _real_skeleton(workload):
    floats = models.create(workload.model.name)
    return models.quantize(floats, workload.bits, workload.method, initialise=False)


@pytest.mark.parametrize("name", ["digits_deit_w4a4", "digits_deit_w1a2_lsq", "digits_deit_w32a32"])
def test_rows_are_those_of_the_real_model_with_scales_of_one(name):
    workload = workloads.find(name)
    real = evidence.trace_model(_real_skeleton(workload), workload)
    hollow = evidence.skeleton_of(workload)
    assert work(hollow) == work(real)
    assert str(hollow) == str(real)
    assert hollow.meta == real.meta
    assert all(hollow.specs[key] == real.specs[key] for key in real.specs)


def test_its_constants_take_no_memory():
    graph = evidence.skeleton_of(workloads.find("digits_deit_w4a4"))
    weights = [array for name, array in graph.constants.items() if name.endswith(".weight")]
    assert len(weights) > 20
    assert all(array.base is not None and not any(array.strides) for array in weights)
    assert {array.dtype for array in weights} >= {np.dtype(np.int8)}


def test_the_model_stays_on_the_meta_device():
    model = builder.skeleton(workloads.find("digits_deit_w4a4"))
    assert {p.device.type for p in (*model.parameters(), *model.buffers())} == {"meta"}


class _Free(nn.Module):
    """A product that nobody quantizes."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 5))

    def forward(self, x):
        return nn.functional.linear(x, self.weight)


def test_a_product_left_float_is_refused_with_its_module():
    graph = trace(nn.Sequential(_Free()), torch.zeros(2, 3, 5), "free")
    for bits in (Bits(32, 32), Bits(4, 32), Bits(32, 4)):
        need_quantized(graph, bits)
    with pytest.raises(IllegalModel) as caught:
        need_quantized(graph, Bits(4, 3))
    assert str(caught.value) == (
        "0: every product of a model at W4A3 has quantized operands, got (B, 3, 5) float and (4, 5) float; where it is one "
        "of an attention, add the class of the model to qmodels/layers/quant_products.py"
    )


def test_ends_may_be_float():
    workload = workloads.find("digits_deit_w4a4")
    model = models.quantize(models.create("digits_deit"), Bits(4, 4, ends=32), "lsq", initialise=False)
    graph = trace(model, torch.zeros(2, *models.image_of(workload.model)), "digits")
    need_quantized(graph, Bits(4, 4, ends=32))
    with pytest.raises(
        IllegalModel, match=r"^patch_embed\.proj: every product of a model at W4A4 has quantized operands"
    ):
        need_quantized(graph, Bits(4, 4, ends=8))


class _Table(nn.Module):
    """Adds what a linear layer, whose weight alone is quantized, makes of constants."""

    def __init__(self):
        super().__init__()
        self.register_buffer("places", torch.randn(3, 6))
        self.linear = (
            models.quantize(models.create("digits_deit", depth=1), Bits(2, 32), "lsq", initialise=True)
            .blocks[0]
            .mlp.fc1
        )

    def forward(self, x):
        return x + self.linear(nn.functional.pad(self.places, (0, 42))).sum(-1)


def test_products_of_constants_are_of_rounded_weights_and_are_told():
    table, x = _Table(), torch.randn(2, 3)
    graph = trace(table, x, "table")
    (value,) = (array for array in graph.constants.values() if array.shape == (3,))
    with torch.no_grad():
        np.testing.assert_allclose(value, (table.double()(x.double()) - x)[0].numpy(), rtol=1e-12, atol=1e-6)
    assert graph.meta["folded_macs"] == 3 * 48 * 192
