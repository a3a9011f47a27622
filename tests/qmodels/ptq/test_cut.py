import pytest
import torch

from hwsim.errors import IllegalModel
from qmodels import models
from qmodels.layers.quant_matmul import QuantMatMul
from qmodels.ptq.cut import SITES, cuts
from qmodels.ptq.independent import independent
from qmodels.ptq.partial import Partial
from qmodels.quantizer import Quantizer
from workloads.bits import Bits

SWIN = {"img_size": 32, "window_size": 2, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16, "num_classes": 5}


def swin(bits):
    torch.manual_seed(0)
    return models.quantize(models.create("swin_tiny_patch4_window7_224", **SWIN), bits, "lsq", image=(3, 32, 32))


def deit(bits, name="digits_deit"):
    torch.manual_seed(0)
    return models.quantize(models.create(name), bits, "lsq")


MODELS = {
    "digits": (deit, (1, 32, 32), ["patch_embed", *(f"blocks.{i}" for i in range(4)), "head"]),
    "swin": (swin, (3, 32, 32), ["patch_embed", "layers.0.blocks.0", "layers.1.blocks.0", "layers.1.blocks.1", "head"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_units_end_behind_the_blocks_and_hold_every_site_and_quantizer_once(name):
    make, image, wanted = MODELS[name]
    model = make(Bits(4, 4))
    found = cuts(model, image)
    assert [cut.name for cut in found] == wanted
    sites = [site for cut in found for site in cut.sites]
    assert sorted(sites) == sorted(path for path, module in model.named_modules() if isinstance(module, SITES))
    quantizers = [path for cut in found for path in cut.quantizers]
    assert sorted(quantizers) == sorted(
        path
        for path, module in model.named_modules()
        if isinstance(module, Quantizer) and not path.endswith("weight_quantizer")
    )
    for path in sites:  # a site's own quantizers are of its unit
        own = (
            ("a_quantizer", "b_quantizer")
            if isinstance(model.get_submodule(path), QuantMatMul)
            else ("input_quantizer",)
        )
        (unit,) = [cut for cut in found if path in cut.sites]
        assert {f"{path}.{q}" for q in own} <= set(unit.quantizers)


def test_what_stands_between_blocks_belongs_to_the_block_behind():
    found = {cut.name: cut for cut in cuts(swin(Bits(4, 4)), (3, 32, 32))}
    assert "layers.1.downsample.reduction" in found["layers.1.blocks.0"].sites
    assert found["head"].sites == ("head.fc",)


def test_a_model_without_blocks_is_one_unit():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    model.pretrained_cfg = {"input_size": (3, 2, 2)}
    (only,) = cuts(models.quantize(model, Bits(32, 32), "lsq"), (3, 2, 2))
    assert (only.name, only.module, only.sites) == ("head", "", ("1",))


@pytest.mark.parametrize("name", MODELS)
def test_units_one_after_the_other_are_the_model(name):
    make, image, _ = MODELS[name]
    model = make(Bits(32, 32))
    partial = Partial(cuts(model, image), image)
    images = torch.randn(3, *image)
    with torch.no_grad():
        value = images
        for index in range(len(partial.cuts)):
            assert torch.equal(partial.to_end(model, index, value), model(images))
            value = partial.run(model, index, value)
        assert torch.equal(value, model(images))
    assert not any("forward" in vars(module) for module in model.modules())


def float_model(name, size, **sizes):
    torch.manual_seed(0)
    return models.quantize(models.create(name, **sizes), Bits(32, 32), "lsq", image=(3, size, size)).eval()


@torch.no_grad()
def run_apart(model, found, images):
    """What the model gives, unit by unit."""
    partial, value = Partial(found, tuple(images.shape[1:])), images
    for index in range(len(found)):
        value = partial.run(model, index, value)
    return value


def test_blocks_that_read_what_others_gave_too_are_joined():
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 2, "depth_token_only": 3, "num_heads": 3}
    model, images = float_model("cait_xxs24_224", 32, **sizes), torch.randn(2, 3, 32, 32)
    found = cuts(model, (3, 32, 32))  # each block of class attention reads the tokens of blocks.1
    assert [cut.name for cut in found[-4:]] == [*(f"blocks_token_only.{i}" for i in range(3)), "head"]
    joined = independent(found, model, images)
    assert [cut.name for cut in joined] == ["patch_embed", "blocks.0", "blocks.1", "blocks_token_only.2", "head"]
    assert [site for cut in joined for site in cut.sites] == [site for cut in found for site in cut.sites]
    assert [path for cut in joined for path in cut.quantizers] == [path for cut in found for path in cut.quantizers]
    with torch.no_grad():
        wanted = model(images)
    assert torch.equal(run_apart(model, joined, images), wanted)
    assert not torch.equal(run_apart(model, found, images), wanted)


def test_blocks_that_stand_alone_are_left_as_they_are():
    model = swin(Bits(32, 32)).eval()
    found = cuts(model, (3, 32, 32))
    assert independent(found, model, torch.randn(2, 3, 32, 32)) == found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "wanted"), [("gcvit_xxtiny", 224, "stages.0.blocks.1"), ("mobilevit_xxs", 64, "stages.2.0")]
)
def test_queries_of_a_stage_and_patches_among_the_images_are_no_cuts(name, size, wanted):
    model, images = float_model(name, size), torch.randn(2, 3, size, size)
    found = independent(cuts(model, (3, size, size)), model, images)
    assert wanted in [cut.name for cut in found]
    with torch.no_grad():
        assert torch.equal(run_apart(model, found, images), model(images))


def test_a_model_of_several_results_is_refused():
    model = torch.nn.Module()
    model.forward = lambda x: (x, x)
    line = r"^Module: must give one tensor, got tuple; calibrate a part of it that does$"
    with pytest.raises(IllegalModel, match=line):
        independent((), model, torch.zeros(1, 3, 2, 2))


def test_two_heads_both_get_what_the_last_block_gave():
    model = deit(Bits(32, 32), "deit_tiny_distilled_patch16_224")
    partial = Partial(cuts(model, (3, 224, 224)), (3, 224, 224))
    assert partial.cuts[-1].sites == ("head", "head_dist")
    with torch.no_grad():
        images = value = torch.randn(1, 3, 224, 224)
        for index in range(len(partial.cuts)):
            value = partial.run(model, index, value)
        assert torch.equal(value, model(images))
