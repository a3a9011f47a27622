"""A folded model is the model: in float64 its outputs are equal up to rounding, whatever the running statistics."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.errors import IllegalModel
from qmodels import (
    models,
    torchvision_shim,  # noqa: F401 - before timm
)
from qmodels.batch_norm import fold_batch_norms

# isort: split
from timm.layers import ScaledStdConv2d, StdConv2d

IMAGE = (3, 32, 32)


def _with_statistics(model):
    """Running statistics, gains and shifts as training may leave them, gains of either sign."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.2, 3)
            if norm.affine:
                nn.init.normal_(norm.weight)
                nn.init.normal_(norm.bias)
    return model.double().eval()


@pytest.mark.parametrize(("name", "norms"), [("resnet18", 20), ("resnet26d", 31), ("mobilenetv2_100", 52)])
def test_a_model_of_timm_folds_whole(name, norms):
    model = _with_statistics(models.create(name))
    images = torch.randn(2, *IMAGE, dtype=torch.float64)
    before = copy.deepcopy(model)
    folded = fold_batch_norms(model, IMAGE)
    assert len(folded) == norms
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        expected = before(images)
        torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
    held = [sum(p.numel() for p in m.parameters()) for m in (before, model)]
    channels = sum(m.num_features for m in before.modules() if isinstance(m, nn.BatchNorm2d))
    assert held[0] - held[1] == channels, "a gain and a shift per channel became one bias"


KINDS = {"standardized": StdConv2d, "scaled": ScaledStdConv2d}


class _Network(nn.Module):
    """`how` the norm stands: alone, without affine, behind a convolution that runs twice, whose output something else reads
    or changes, whose weight another has too, or that standardizes its weight."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.conv = KINDS.get(how, nn.Conv2d)(3, 3, 3, padding=1)
        self.other = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3, affine=how != "plain")
        self.first = nn.BatchNorm2d(3) if how == "first" else nn.Identity()
        if how == "tied":
            self.other.weight = self.conv.weight

    def forward(self, x):
        y = self.conv(self.first(x))
        if self.how == "read":
            return self.norm(y) + y
        if self.how == "conv twice":
            return self.norm(y) + self.conv(x)
        if self.how == "norm twice":
            return self.norm(y) + self.norm(x)
        if self.how == "tied":
            return self.norm(y) + self.other(x)
        if self.how == "weight read":
            return self.norm(y) + F.conv2d(x, self.conv.weight, padding=1)
        if self.how == "returned":
            return self.norm(y), y
        if self.how == "written":
            y[:, 0] = 0
        return self.norm(y).flatten(1)


@pytest.mark.parametrize(
    ("how", "folded"),
    [
        ("alone", ("norm",)),
        ("plain", ("norm",)),
        ("first", ("norm",)),
        ("read", ()),
        ("conv twice", ()),
        ("norm twice", ()),
        ("tied", ()),
        ("weight read", ()),
        ("returned", ()),
        ("written", ()),
        ("standardized", ()),
        ("scaled", ()),
    ],
)
def test_only_the_one_reader_of_a_convolution_is_folded(how, folded):
    model = _with_statistics(_Network(how))
    images = torch.randn(2, *IMAGE, dtype=torch.float64)
    expected = model(images)
    assert fold_batch_norms(model, IMAGE) == folded
    torch.testing.assert_close(model(images), expected, rtol=1e-12, atol=1e-12)


def test_shapes_alone_are_enough():
    with torch.device("meta"):
        model = models.create("resnet18")
    assert len(fold_batch_norms(model, IMAGE)) == 20
    assert model.conv1.bias.is_meta


def test_a_model_without_norms_is_not_run():
    assert fold_batch_norms(nn.Linear(3, 4), (7,)) == ()


def test_training_goes_on_as_it_was():
    model = _Network("alone").train()
    means = model.norm.running_mean.clone()
    norm = model.norm
    fold_batch_norms(model, IMAGE)
    assert model.training
    assert model.conv.training
    assert torch.equal(norm.running_mean, means), "the run that finds who feeds whom leaves no trace"


def test_images_of_another_shape():
    with pytest.raises(
        IllegalModel, match=r"^_Network: batch norms are folded on images \(4, 8, 8\), got .*; say which it takes$"
    ):
        fold_batch_norms(_Network("alone"), (4, 8, 8))
