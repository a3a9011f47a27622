import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qmodels import torchvision_shim  # noqa: F401 - before timm
from qmodels.weight_standardization import KINDS, bake

# isort: split
from timm.layers import StdConv2d
from timm.layers.conv2d_same import Conv2dSame


@pytest.mark.parametrize("kind", KINDS)
def test_the_baked_weights_give_what_timm_computes(kind):
    conv = kind(6, 8, 3, stride=2, groups=2).double()
    if hasattr(conv, "gain"):
        nn.init.normal_(conv.gain)
    x = torch.randn(2, 6, 9, 9, dtype=torch.float64)
    expected = conv(x)
    plain = copy.deepcopy(conv)
    same = bake(plain)
    assert same is kind.__name__.endswith("Same")
    got = F.conv2d(x, plain.weight, plain.bias, 2, 1, 1, 2)  # on 9 x 9 `same` pads by 1 too
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_rows_have_mean_zero_and_variance_one():
    conv = StdConv2d(4, 3, 3, eps=1e-12)
    bake(conv)
    rows = conv.weight.detach().double().flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows.var(1, unbiased=False), torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_other_convolutions_keep_their_weights():
    for conv, same in ((nn.Conv2d(2, 3, 3), False), (Conv2dSame(2, 3, 3), True)):
        weight = conv.weight.clone()
        assert bake(conv) is same
        assert torch.equal(conv.weight, weight)
