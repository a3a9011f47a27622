"""Rules of ATen operators on modules of one line: the graph computes what torch does, or refuses it by name."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.errors import IllegalModel
from hwsim.graph import op_name
from hwsim.simulator import simulate
from qmodels.tracing import trace


class _Line(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


LINES = {  # function of images (B, 4, 6): operators that the graph has
    "rotation in pairs": (lambda x: torch.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape), "concat mul"),
    "rotation in halves": (lambda x: torch.cat([-x.chunk(2, -1)[1], x.chunk(2, -1)[0]], -1), "concat mul"),
    "parts of several sizes": (lambda x: torch.split(x, [1, 2, 3], -1)[2] * 2.0, "mul slice"),
    "parts of one size": (lambda x: sum(x.split(4, -1)[0].chunk(2, 1)), "add slice"),
    "sum of a stack": (lambda x: torch.stack([x, x * 2.0, x * 4.0]).sum(0), "add mul"),
    "shared heads": (lambda x: x.repeat_interleave(3, dim=1) * 2.0, "concat mul reshape"),
    "rows of length one": (lambda x: F.normalize(x, dim=-1), "clip div reducel2"),
    "rms_norm": (lambda x: F.rms_norm(x, (6,), eps=1e-5), "rmsnorm"),
    "rms_norm without an epsilon": (lambda x: F.rms_norm(x, (6,)), "rmsnorm"),
    "a prefix of nothing": (lambda x: torch.cat([x[:, :0], x[:, 0:] * 2.0], 1), "mul"),
    "a difference": (lambda x: x - 0.3 * x, "mul sub"),
    "silu": (lambda x: F.silu(x) * torch.sigmoid(1.702 * x), "mul sigmoid silu"),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), "gelutanh"),
    "division by a power of two": (lambda x: x / 4, "mul"),
    "division by another number": (lambda x: x / 3, "div"),
    "division of activations": (lambda x: x / x.sigmoid(), "div sigmoid"),
    "a cast between floats": (lambda x: x.to(torch.float64).type_as(x) * 2.0, "mul"),
}


@pytest.mark.parametrize(("function", "operators"), LINES.values(), ids=LINES)
def test_it_computes_what_torch_does(function, operators):
    x = torch.randn(3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    graph = trace(_Line(function), x, "line")
    value = simulate(graph, {"input": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(value, function(x).numpy(), rtol=1e-13, atol=1e-15)
    assert set(operators.split()) <= {op_name(node.op) for node in graph.nodes}


REFUSED = {
    "rmsnorm is over the last axis, got [4, 6]; reshape before": lambda x: F.rms_norm(x, (4, 6)),
    "a length is the Euclidean one of the last axis, which stays, got order 1 of [-1]; transpose before": lambda x: (
        F.normalize(x, p=1, dim=-1)
    ),
    "a length is the Euclidean one of the last axis, which stays, got order 2 of [1]; transpose before": lambda x: (
        F.normalize(x, dim=1)
    ),
    "a sum is of what was stacked on axis 0, got one over [1]; use a mean": lambda x: x.sum(1),
    "an axis behind the batch is split, got 1; permute before": lambda x: x.transpose(0, 1).chunk(2, 1)[0],
    "an activation stays a float, got a cast to [torch.int32]; leave it out": lambda x: x.to(torch.int32) * 2.0,
}


@pytest.mark.parametrize(("message", "function"), REFUSED.items())
def test_it_is_refused(message, function):
    with pytest.raises(IllegalModel) as caught:
        trace(nn.Sequential(_Line(function)), torch.zeros(2, 4, 6), "line")
    assert str(caught.value) == f"0: {message}"


def test_a_constant_repeated_for_every_image_is_computed_with_once_in_float64():
    class Pool(nn.Module):
        def __init__(self):
            super().__init__()
            self.latent = nn.Parameter(torch.randn(1, 2, 6))
            self.q = nn.Linear(6, 6)

        def forward(self, x):
            q = self.q(self.latent.expand(x.shape[0], -1, -1))
            return torch.matmul(torch.matmul(q, x.transpose(1, 2)), x)

    pool, x = Pool(), torch.randn(5, 4, 6, dtype=torch.float64)
    graph = trace(pool, x, "pool")
    assert graph.specs["q"].shape == (1, 2, 6)
    assert not graph.specs["q"].batched
    assert graph.meta["folded_macs"] == 0
    with torch.no_grad():
        expected = pool.double()(x).numpy()
    value = simulate(graph, {"input": x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-14)
