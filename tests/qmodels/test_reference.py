"""The reference gives the model's own logits and codes, and counts what its quantizers clamp."""

import numpy as np
import pytest
import torch

import qmodels
from hwsim.errors import IllegalModel
from hwsim.grids.log2 import log2
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec
from qmodels import builder, data
from qmodels.reference import Reference, ends


@pytest.fixture(scope="module")
def model():
    return builder.build("digits_w4a4")


@pytest.fixture(scope="module")
def mixed(model):
    return qmodels.trace(model, torch.zeros(2, 1, 32, 32), "digits_w4a4")


@pytest.fixture(scope="module")
def images():
    return data.digits("test")[0][:6]


@pytest.mark.parametrize(("dtype", "same"), [(torch.float64, np.float64), (torch.float32, np.float32)])
def test_logits_and_codes_are_the_models_own(model, mixed, images, dtype, same):
    seen = Reference(model, mixed, dtype).run(images)
    own = builder.build("digits_w4a4").to(dtype)
    with torch.no_grad():
        assert np.array_equal(seen.logits, own(images.to(dtype)).double().numpy())
    codes = seen.codes["patch_embed.proj.input"]
    grid = mixed.specs["patch_embed.proj.input"].quant
    assert codes.dtype == np.uint8
    wanted = np.rint(images.to(dtype).numpy() / same(grid.scale[0]))
    assert np.array_equal(codes, np.clip(wanted + grid.zero_point[0], 0, 255))
    assert list(seen.codes) == list(seen.clamped)


def test_clamped_inputs_are_those_that_rounding_alone_takes_beyond_the_range(model, mixed, images):
    reference = Reference(model, mixed, torch.float64)
    seen = reference.run(images)
    for node in ("blocks.0.attn.qkv.input", "blocks.1.attn.qk.a"):  # per tensor, per head
        grid = mixed.specs[node].quant
        shape = [1] * len(mixed.specs[node].shape)
        if grid.axis is not None:
            shape[grid.axis] = -1
        rounded = np.rint(reference.inputs_of(node, images) / np.reshape(grid.scale, shape))
        unclamped = rounded + np.reshape(grid.zero_point, shape)
        assert seen.clamped[node] == ((unclamped < grid.qmin) | (unclamped > grid.qmax)).sum() > 0
        assert np.array_equal(seen.codes[node], np.clip(unclamped, grid.qmin, grid.qmax))


def test_ends_lie_half_a_step_beyond_the_outermost_reals():
    low, high = ends(TensorSpec((1, 5), QuantSpec(4, False, (0.5,), (3,))))
    assert (low.item(), high.item()) == (-1.75, 6.25)
    low, high = ends(TensorSpec((1, 2, 5), QuantSpec(2, True, (1.0, 0.5), (0, 1), 1)))
    assert low.reshape(-1).tolist() == [-2.5, -1.75]
    assert high.reshape(-1).tolist() == [1.5, 0.25]
    low, high = ends(TensorSpec((1, 5), BipolarSpec((0.25,))))
    assert (low.item(), high.item()) == (-0.5, 0.5)
    low, high = ends(TensorSpec((1, 5), log2(3)))
    assert (low.item(), high.item()) == (-(2.0**-7), 1.25)


def test_inputs_of_one_quantizer(model, mixed, images):
    assert np.array_equal(
        Reference(model, mixed, torch.float64).inputs_of("patch_embed.proj.input", images), images.double().numpy()
    )


def test_a_model_without_quantizers_is_refused(mixed):
    with pytest.raises(IllegalModel) as caught:
        Reference(builder.build("digits_deit_w32a32"), mixed, torch.float64)
    assert str(caught.value) == (
        "digits_w4a4: codes are compared at activation quantizers, got none; quantize the model"
    )


def test_a_graph_of_another_model_is_refused(model):
    other = qmodels.trace(builder.build("digits_deit_w32a32"), torch.zeros(2, 1, 32, 32), "float")
    with pytest.raises(IllegalModel) as caught:
        Reference(model, other, torch.float64)
    assert str(caught.value) == (
        "patch_embed.proj.input: every quantizer must be a node of the graph, got none; trace this very model"
    )
