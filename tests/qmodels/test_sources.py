"""Who feeds a quantizer is read from the captured program: real models, and small ones that break one condition each."""

import pytest
import torch
from torch import nn

from qmodels import models
from qmodels.layers.quant_linear import QuantLinear
from qmodels.quantizer import make
from qmodels.sources import Source, sources
from workloads.bits import Bits


def layer(size=6):
    return QuantLinear(nn.Linear(size, 5), make("lsq", 4, signed=True), nn.Identity())


def test_a_vision_transformer():
    model = models.quantize(models.create("digits_deit"), Bits(4, 4), "lsq", initialise=False)
    found = sources(model, (1, 32, 32))
    inputs = {path: source for path, source in found.items() if path.endswith("input_quantizer")}
    assert len(inputs) == 18
    assert inputs["patch_embed.proj.input_quantizer"] == Source(4, "")
    for block in range(4):
        assert inputs[f"blocks.{block}.attn.qkv.input_quantizer"] == Source(3, f"blocks.{block}.norm1")
        assert inputs[f"blocks.{block}.attn.proj.input_quantizer"] == Source(3, "")
        assert inputs[f"blocks.{block}.mlp.fc1.input_quantizer"] == Source(3, f"blocks.{block}.norm2")
        assert inputs[f"blocks.{block}.mlp.fc2.input_quantizer"] == Source(3, "")
    assert inputs["head.input_quantizer"] == Source(2, "norm")  # through the choice of the class token
    assert found["blocks.0.attn.qk.a_quantizer"] == Source(4, "")


def test_a_norm_that_two_heads_read_feeds_none_alone():
    small = {"img_size": 32, "embed_dim": 48, "depth": 1, "num_heads": 3}
    model = models.create("deit_tiny_distilled_patch16_224", **small)
    found = sources(models.quantize(model, Bits(4, 4), "lsq", initialise=False), (3, 32, 32))
    assert found["head.input_quantizer"] == found["head_dist.input_quantizer"] == Source(2, "")
    assert found["blocks.0.attn.qkv.input_quantizer"] == Source(3, "blocks.0.norm1")


def test_windows_and_the_mean_over_tokens():
    small = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    model = models.create("swin_tiny_patch4_window7_224", **small)
    found = sources(models.quantize(model, Bits(4, 4), "lsq", initialise=False), (3, 56, 56))
    assert found["layers.0.blocks.1.attn.qkv.input_quantizer"] == Source(3, "layers.0.blocks.1.norm1")  # rolled
    assert found["layers.1.downsample.reduction.input_quantizer"] == Source(4, "layers.1.downsample.norm")
    assert found["head.fc.input_quantizer"] == Source(2, "norm")


class Net(nn.Module):
    """A LayerNorm, what `between` does to its output, a layer."""

    def __init__(self, between, size=6, norm=None):
        super().__init__()
        self.norm = norm or nn.LayerNorm(6)
        self.after = nn.LayerNorm(6)
        self.layer = layer(size)
        self.between = between

    def forward(self, x):
        return self.between(self, self.norm(x))


@pytest.mark.parametrize(
    ("between", "size", "norm"),
    [
        (lambda net, y: net.layer(y), 6, "norm"),
        (lambda net, y: net.layer(y.transpose(1, 2).flatten(1, 2)), 6, "norm"),
        (lambda net, y: net.layer(y.mean(1)[:, 1:]), 6, "norm"),
        (lambda net, y: net.layer(y.roll(1, 2).permute(0, 2, 1, 3).unsqueeze(1).clone()), 6, "norm"),
        (lambda net, y: net.layer(nn.functional.pad(y, (0, 0))), 6, "norm"),
        (lambda net, y: net.layer(nn.functional.pad(y, (0, 0, 1, 0))), 6, ""),  # padded zeros would have to move too
        (lambda net, y: net.layer(y.roll(1, 3)), 6, ""),  # channels change places
        (lambda net, y: net.layer(y.roll(1)), 6, ""),
        (lambda net, y: net.layer(y.transpose(2, 3)), 6, ""),
        (lambda net, y: net.layer(y.permute(0, 3, 2, 1)), 6, ""),
        (lambda net, y: net.layer(y.mean(3)), 6, ""),
        (lambda net, y: net.layer(y.select(3, 0)), 6, ""),
        (lambda net, y: net.layer(y.reshape(-1, 18, 12)), 12, ""),
        (lambda net, y: net.layer(y * 2), 6, ""),
        (lambda net, y: (net.layer(y), y), 6, ""),  # read by someone else: the output
        (lambda net, y: net.layer(y) + y.sum(), 6, ""),
        (lambda net, y: (lambda z: net.layer(z) + z.sum())(y.transpose(1, 2)), 6, ""),  # someone reads it on the way
        (lambda net, y: net.layer(y.mean(1)) + net.layer(y.mean(2)), 6, ""),
        (lambda net, y: net.layer(net.norm(y)), 6, ""),  # the norm is used twice
        (lambda net, y: net.layer(net.layer(y) @ torch.ones(5, 6, dtype=y.dtype)), 6, ""),  # the layer is used twice
        (lambda net, y: net.layer(y * 2) + net.layer(net.after(y)), 6, ""),
    ],
)
def test_only_what_moves_whole_channels_to_one_reader_counts(between, size, norm):
    assert sources(Net(between, size), (6, 6, 6))["layer.input_quantizer"].norm == norm


@pytest.mark.parametrize("norm", [nn.LayerNorm(6, bias=False), nn.LayerNorm(6, elementwise_affine=False)])
def test_a_norm_without_gain_or_offset_cannot_take_the_map(norm):
    net = Net(lambda net, y: net.layer(y), norm=norm)
    assert sources(net, (6, 6, 6))["layer.input_quantizer"].norm == ""
