"""Sorting the channels of the residual stream: the function stays, the order is that of the ranges, others are refused."""

import pytest
import torch

from hwsim.errors import IllegalModel
from qmodels import builder, data, models
from qmodels.searches.minmax import MinMax
from qmodels.steps.ranges import Ranges
from qmodels.steps.sort_channels import SortChannels, axes_of
from tests.qmodels.steps.conftest import Look

RANGES = Ranges(MinMax(), MinMax())


def spread(model, images):
    """The mean range of each channel behind the norms of the blocks, the widest of each norm being 1."""
    found = []
    norms = [norm for block in model.blocks for norm in (block.norm1, block.norm2)]
    handles = [norm.register_forward_hook(lambda m, i, o: found.append(o.flatten(0, 1))) for norm in norms]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    ranges = [rows.amax(0) - rows.amin(0) for rows in found]
    return torch.stack([r / r.max() for r in ranges]).mean(0)


def test_the_function_stays_and_ranges_ascend(run_stages):
    images = data.digits("test")[0][:16]
    told = {}

    def look(unit):
        if unit.index == 0:
            told.update({name: p.clone() for name, p in unit.model.named_parameters() if "_quantizer" not in name})
            told["images"] = unit.sample("float")

    run_stages((SortChannels(), Look(look)), (RANGES,))
    plain, ordered = builder.build("digits_float"), builder.build("digits_float")
    own = told.pop("images")
    missing = ordered.load_state_dict(told, strict=False)
    assert not missing.missing_keys
    with torch.no_grad():
        torch.testing.assert_close(ordered(images), plain(images), rtol=0, atol=1e-4)
    before, after = spread(plain, own), spread(ordered, own)
    torch.testing.assert_close(after, before.sort().values, rtol=1e-3, atol=1e-4)
    assert (before.diff() < 0).any()
    assert not torch.equal(ordered.pos_embed, plain.pos_embed)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "vit_tiny_patch16_224", "deit3_small_patch16_224"])
def test_plain_vits_are_known(name):
    with torch.device("meta"):
        model = models.create(name)
    axes = axes_of(model)
    channels = model.embed_dim
    assert all(model.get_parameter(key).shape[axis] == channels for key, axis in axes.items())
    assert {
        "pos_embed",
        "blocks.0.attn.qkv.weight",
        "blocks.0.mlp.fc2.bias",
        "norm.weight",
        "head.weight",
    } <= axes.keys()
    wide = [key for key, p in model.named_parameters() if channels in p.shape and key not in axes]
    assert wide == []  # nothing else has as many


@pytest.mark.parametrize(("name", "parameter"), [("swin_tiny_patch4_window7_224", "layers"), ("resnet18", "conv1")])
def test_other_models_are_refused(name, parameter):
    with torch.device("meta"):
        model = models.create(name)
    wanted = (
        rf"{parameter}\S*: channels can be sorted where the model is a plain ViT or DeiT, got \w+; choose peg, which"
    )
    with pytest.raises(IllegalModel, match=wanted):
        axes_of(model)
