import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels import elementwise

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 65))
SCALES = st.sampled_from((1e-6, 1.0, 50.0, 1e6))
ULP = np.finfo(np.float64).eps


def layernorm(x, weight, bias, epsilon, out):
    elementwise.layernorm(x[np.newaxis], weight, bias, epsilon, out[np.newaxis])


def softmax(x, out):
    elementwise.softmax(x[np.newaxis], out[np.newaxis])


def gelu(x, out):
    elementwise.gelu(x[np.newaxis, np.newaxis], out[np.newaxis, np.newaxis])


def rows(shape, scale, seed):
    return np.random.default_rng(seed).normal(0.3, 1, shape) * scale


@given(shape=SHAPES, scale=SCALES, seed=st.integers(0), epsilon=st.sampled_from((1e-6, 1e-5)))
def test_layernorm(shape, scale, seed, epsilon):
    x, columns = rows(shape, scale, seed), shape[1]
    weight, bias = rows(columns, 1.0, seed + 1), rows(columns, 1.0, seed + 2)
    out = np.empty_like(x)
    layernorm(x, weight, bias, epsilon, out)
    wanted = torch.nn.functional.layer_norm(
        *map(torch.from_numpy, (x,)), (columns,), *map(torch.from_numpy, (weight, bias)), epsilon
    )
    sigma = np.sqrt(x.var(axis=1, keepdims=True) + epsilon)
    steps = 8 * ULP * (1 + np.abs(x).max(axis=1, keepdims=True) / sigma) * np.abs(weight) + 4 * ULP * np.abs(bias)
    assert (np.abs(out - wanted.numpy()) <= steps).all()


def test_layernorm_of_constant_rows_is_the_bias():
    for value in (0.0, 1.0, -3.5, 2.0**40):
        out = np.empty((2, 8))
        layernorm(np.full((2, 8), value), np.full(8, 2.0), np.arange(8.0), 1e-5, out)
        assert (out == np.arange(8.0)).all()


@given(shape=SHAPES, scale=SCALES, seed=st.integers(0))
def test_softmax(shape, scale, seed):
    x = rows(shape, scale, seed)
    out = np.empty_like(x)
    softmax(x, out)
    wanted = torch.softmax(torch.from_numpy(x), -1).numpy()
    np.testing.assert_allclose(out, wanted, rtol=4 * ULP * shape[1], atol=1e-300)
    assert np.abs(out.sum(axis=1) - 1).max() <= shape[1] * ULP


def test_softmax_of_large_scores():
    x = np.array([[-1e300, -1e300, -1e300, -1e300], [0.0, -745.0, -800.0, -1e308], [1e308, 1e308, -1e308, 0.0]])
    out = np.empty_like(x)
    with np.errstate(over="ignore"):  # of NumPy's scalars, where the kernel is run as plain Python
        softmax(x, out)
    assert out[0].tolist() == [0.25] * 4
    assert out[1].tolist() == [1.0, 5e-324, 0.0, 0.0]
    assert out[2].tolist() == [0.5, 0.5, 0.0, 0.0]


@given(seed=st.integers(0), scale=st.sampled_from((1e-9, 0.1, 3.0, 40.0)))
def test_gelu(seed, scale):
    x = rows(64, scale, seed)
    out = np.empty_like(x)
    gelu(x, out)
    wanted = torch.nn.functional.gelu(torch.from_numpy(x)).numpy()
    assert (np.abs(out - wanted) <= 2 * ULP * np.abs(x)).all()


def test_gelu_at_landmarks():
    out = np.empty(4)
    gelu(np.array([0.0, 40.0, -40.0, 1.0]), out)
    assert out.tolist()[:3] == [0.0, 40.0, 0.0]
    assert abs(out[3] - 0.8413447460685429) <= ULP
