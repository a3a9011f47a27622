import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from hwsim.errors import IllegalModel
from hwsim.op import Action
from hwsim.ops.maxpool2d import MaxPool2d
from hwsim.spec import BipolarSpec, QuantSpec, TensorSpec

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def pools(draw):
    """A pool, and an image that it fits."""
    kernel, stride, dilation = draw(PAIRS), draw(PAIRS), draw(PAIRS)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    fits = all(n + 2 * p > d * (k - 1) for n, p, d, k in zip(size, padding, dilation, kernel, strict=True))
    assume(fits)
    op = MaxPool2d(kernel, stride, padding, dilation, draw(st.booleans()))
    whole = torch.nn.functional.max_pool2d(torch.zeros(1, 1, *size), kernel, stride, padding, dilation, op.ceil)
    assume(whole.isfinite().all())  # dilated windows may lie in the padding alone
    return op, size


@given(pool=pools(), seed=st.integers(0))
def test_floats_equal_torch(apply, floats, pool, seed):
    op, size = pool
    x = np.random.default_rng(seed).normal(size=(2, 3, *size))
    value, out = apply(op, floats(x))
    wanted = torch.nn.functional.max_pool2d(torch.from_numpy(x), op.kernel, op.stride, op.padding, op.dilation, op.ceil)
    np.testing.assert_array_equal(value, wanted.numpy())
    assert value.shape == (2, *out.shape[1:])


@given(pool=pools(), data=st.data(), axis=st.sampled_from((None, 1)))
def test_codes_are_those_of_the_real_maximum(draw, apply, pool, data, axis):
    op, size = pool
    x, spec = draw.tensor(data, (1, 2, *size), images=2, axis=axis)
    codes, out = apply(op, (x, spec))
    reals, _ = apply(op, (spec.quant.to_real(x), TensorSpec(spec.shape)))
    assert out.quant == spec.quant
    assert codes.dtype == spec.quant.container
    np.testing.assert_array_equal(out.quant.to_real(codes), reals)


def test_comparisons_are_of_what_is_in_the_image():
    """ResNet's 3 x 3 at stride 2 with padding 1 on 4 x 4: windows of 2 and 3 elements along each axis."""
    x = TensorSpec((1, 5, 4, 4), QuantSpec(8, False, (0.5,)))
    op = MaxPool2d((3, 3), (2, 2), (1, 1))
    out = op.infer((x,))
    assert out.shape == (1, 5, 2, 2)
    assert op.count((x,), out) == {Action("max", 8, 8): 5 * ((2 + 3) ** 2 - 4)}


IMAGE = TensorSpec((1, 2, 4, 4))


@pytest.mark.parametrize(
    ("op", "x", "text"),
    [
        (MaxPool2d((2, 2), (2, 2)), TensorSpec((1, 4, 4)), "an image has 4 axes, got (B, 4, 4) float; reshape"),
        (
            MaxPool2d((5, 2), (2, 2)),
            IMAGE,
            "the kernel must fit the padded image, got (B, 2, 4, 4) float and (5, 2); enlarge the image or padding",
        ),
        (
            MaxPool2d((2, 2), (2, 2), (2, 0)),
            IMAGE,
            "every window of a pool must hold a part of the image, got Windows(size=4, kernel=2, stride=2, padding=2, "
            "dilation=1, count=4); lower the padding",
        ),
        (
            MaxPool2d((2, 2), (0, 2)),
            IMAGE,
            "kernel, stride and dilation are 1 or more and padding 0 or more, got kernel (2, 2), stride (0, 2), padding "
            "(0, 0) and dilation (1, 1); check the layer",
        ),
        (
            MaxPool2d((2, 2), (2, 2)),
            TensorSpec((1, 2, 4, 4), BipolarSpec((0.5,))),
            "a maximum is of floats or of codes of an affine grid, got (B, 2, 4, 4) bipolar per_tensor scale=0.5; "
            "requantize it before",
        ),
        (
            MaxPool2d((2, 2), (2, 2)),
            TensorSpec((1, 2, 4, 4), QuantSpec(4, True, (1.0,) * 4, (0,) * 4, 3)),
            "a window has codes of one scale, got (B, 2, 4, 4) s4 per_channel(axis=3, n=4); requantize it per tensor or "
            "per channel",
        ),
    ],
)
def test_illegal(op, x, text):
    with pytest.raises(IllegalModel) as caught:
        op.infer((x,))
    assert str(caught.value) == text
