"""The rules of pools, norms, padding and writing in place, on images: the graph computes what torch does, or refuses it."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.errors import IllegalModel
from hwsim.graph import op_name
from hwsim.simulator import simulate
from qmodels.quantizer import make
from qmodels.tracing import INPUT, trace


class Call(nn.Module):
    """`function` of the images and of this module's layers."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)


def _norm(features=3):
    norm = nn.BatchNorm2d(features) if features == 3 else nn.BatchNorm1d(features)
    for values in (norm.running_mean, norm.weight, norm.bias):
        nn.init.normal_(values)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


def _in_place(x, norm):
    """Writes over values that are read again."""
    y = norm(x)
    z = y * 2.0
    y += z
    z.relu_()
    torch.relu_(y)
    return y + z


def _codes(x, quantizer):
    """Pools of codes, and padding of them."""
    x = F.pad(F.relu(quantizer(x)), (1, 0, 0, 1))
    return F.max_pool2d(x, 3, 2, 1) * 1.0


SAME = nn.Conv2d(3, 6, (3, 5), padding="same", dilation=2)
CASES = {
    "batch norm of images": (Call(lambda x, norm: norm(x), _norm()), "add mul"),
    "batch norm of rows": (Call(lambda x, norm: norm(x.flatten(1)), _norm(3 * 7 * 6)), "add mul reshape"),
    "batch norm without gains": (Call(lambda x, norm: norm(x), nn.BatchNorm2d(3, affine=False)), "add mul"),
    "group norm": (Call(lambda x, norm: norm(x), nn.GroupNorm(3, 3)), "groupnorm"),
    "group norm without gains": (Call(lambda x, norm: norm(x), nn.GroupNorm(1, 3, affine=False)), "groupnorm"),
    "max pool": (Call(lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True)), "maxpool2d"),
    "max pool, stride by default": (Call(lambda x: F.max_pool2d(x, (2, 3))), "maxpool2d"),
    "mean pool": (Call(lambda x: F.avg_pool2d(x, 2, 2, 0, True, False)), "avgpool2d"),
    "mean pool, stride by default": (Call(lambda x: F.avg_pool2d(x, 3, padding=1)), "avgpool2d"),
    "mean over all": (Call(lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)), "mean reshape"),
    "zeros around": (Call(lambda x: F.pad(x, (1, 0, 2, 3))), "pad"),
    "lowest around": (Call(lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-np.inf), 2)), "maxpool2d pad"),
    "in place": (Call(_in_place, _norm()), "add mul relu"),
    "dilated convolution": (Call(lambda x, conv: conv(x), nn.Conv2d(3, 6, 3, 2, 2, 2, 3)), "add conv2d"),
    "padding by name": (Call(lambda x, conv: conv(x), SAME), "add conv2d"),
    "no padding by name": (Call(lambda x, conv: conv(x), nn.Conv2d(3, 6, 3, 2, padding="valid")), "add conv2d"),
    "relu6": (Call(lambda x: F.relu6(4 * x)), "clip mul"),
    "hard sigmoid": (Call(lambda x: F.hardsigmoid(4 * x)), "add clip div mul"),
    "hard swish": (Call(lambda x: F.hardswish(4 * x)), "add clip div mul"),
    "codes": (Call(_codes, make("lsq", 4, signed=True)), "dequantize maxpool2d mul pad quantize relu"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_traced_computes_the_same(name):
    network, kinds = CASES[name]
    network = copy.deepcopy(network).eval()
    images = torch.randn(2, 3, 7, 6)
    graph = trace(network, images, "call")
    assert " ".join(sorted({op_name(node.op) for node in graph.nodes})) == kinds
    with torch.no_grad():
        expected = network.double()(images.double()).numpy()
    got = simulate(graph, {INPUT: images.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_codes_stay_codes_through_pools():
    graph = trace(CASES["codes"][0], torch.zeros(2, 3, 7, 6), "codes")
    kinds = [op_name(node.op) for node in graph.nodes]
    assert kinds == ["quantize", "relu", "pad", "maxpool2d", "dequantize", "mul"]


def _view_written(x):
    """Adds to a part of what is read again."""
    y = x * 2.0
    y[:, :1] += 1.0
    return y


REFUSED = {
    "a batch norm that has no statistics": (
        Call(lambda x, norm: norm(x), nn.BatchNorm2d(3, track_running_stats=False)),
        "layers.0: batch norm takes running statistics, got those of the batch; track them",
    ),
    "another adaptive size": (
        Call(lambda x: F.adaptive_avg_pool2d(x, (2, 1))),
        ": adaptive pooling is to 1 x 1, got [2, 1]; use avg_pool2d",
    ),
    "a divisor": (
        Call(lambda x: F.avg_pool2d(x, 2, divisor_override=3)),
        ": a mean is divided by what it is of, got a divisor of 3; scale behind it",
    ),
    "another padding": (
        Call(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")),
        ": padding is zeros or -inf, got reflect None; pad with zeros",
    ),
    "another number around": (
        Call(lambda x: F.pad(x, (1, 1), value=2.0)),
        ": padding is zeros or -inf, got constant 2.0; pad with zeros",
    ),
    "padding that is not the same on both sides": (
        Call(lambda x, conv: conv(x), nn.Conv2d(3, 4, (3, 2), padding="same")),
        "layers.0: padding is the same on both sides, got [2, 1] in all; pad before the convolution",
    ),
    "a view that is written": (
        Call(_view_written),
        "model: what is written in place must have no views, got aten.add_; copy it",
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    network, text = REFUSED[name]
    with pytest.raises(IllegalModel) as caught:
        trace(network.eval(), torch.zeros(2, 3, 7, 6), "call")
    assert str(caught.value) == text
